"""Training: the skorch net, batch-level loading, devices, schedules, augmentation, progress."""

from .._generators import generators_restored, seeded, usual_dtype
from ._augment import AUGMENTATIONS, Augment, AugmentationName, resolve_augment
from ._batches import (
    ArrayDataset,
    Batches,
    ItemDataset,
    ResidentDataset,
    as_array_of,
    spread_rows,
    to_tensor,
)
from ._callbacks import (
    check_callbacks,
    check_picklable,
    history_keys,
    nested_params,
    shallow_copies,
    with_params,
)
from ._device import (
    ASYNCHRONOUS,
    exact_inference,
    has_fast_bfloat16,
    resolve_device,
    resolve_precision,
    to_device,
    to_host,
)
from ._net import VAENet
from ._progress import EpochLog, ProgressBar
from ._ranges import OF_ARRAY, OF_ITEMS, Spelling, darkness
from ._schedules import LR_SCHEDULES, LRSchedule, kl_weight, learning_rate_factor

__all__ = [
    "ASYNCHRONOUS",
    "AUGMENTATIONS",
    "LR_SCHEDULES",
    "OF_ARRAY",
    "OF_ITEMS",
    "ArrayDataset",
    "Augment",
    "AugmentationName",
    "Batches",
    "EpochLog",
    "ItemDataset",
    "LRSchedule",
    "ProgressBar",
    "ResidentDataset",
    "Spelling",
    "VAENet",
    "as_array_of",
    "check_callbacks",
    "check_picklable",
    "darkness",
    "exact_inference",
    "generators_restored",
    "has_fast_bfloat16",
    "history_keys",
    "kl_weight",
    "learning_rate_factor",
    "nested_params",
    "resolve_augment",
    "resolve_device",
    "resolve_precision",
    "seeded",
    "shallow_copies",
    "spread_rows",
    "to_device",
    "to_host",
    "to_tensor",
    "usual_dtype",
    "with_params",
]
