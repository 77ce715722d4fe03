"""Training: the skorch net, batch-level loading, devices, schedules, augmentation, progress."""

from ._augment import AUGMENTATIONS, Augment, resolve_augment
from ._batches import (
    ArrayDataset,
    Batches,
    ItemDataset,
    ResidentDataset,
    spread_rows,
    to_tensor,
)
from ._device import (
    ASYNCHRONOUS,
    exact_inference,
    generators_restored,
    has_fast_bfloat16,
    resolve_device,
    resolve_precision,
    seeded,
    to_device,
    to_host,
)
from ._net import VAENet
from ._progress import EpochLog, ProgressBar
from ._schedules import LR_SCHEDULES, kl_weight, learning_rate_factor

__all__ = [
    "ASYNCHRONOUS",
    "AUGMENTATIONS",
    "LR_SCHEDULES",
    "ArrayDataset",
    "Augment",
    "Batches",
    "EpochLog",
    "ItemDataset",
    "ProgressBar",
    "ResidentDataset",
    "VAENet",
    "exact_inference",
    "generators_restored",
    "has_fast_bfloat16",
    "kl_weight",
    "learning_rate_factor",
    "resolve_augment",
    "resolve_device",
    "resolve_precision",
    "seeded",
    "spread_rows",
    "to_device",
    "to_host",
    "to_tensor",
]
