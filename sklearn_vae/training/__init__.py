"""Training: the skorch net around a lean loop, its callbacks, schedules and progress."""

from ._callbacks import check_picklable, nested_params, with_params
from ._net import VAENet
from ._schedules import LR_SCHEDULES, LRSchedule
from ._trainer import OPTIMIZERS, OptimizerName, Resumption, Trainer, resolve_epochs

__all__ = [
    "LR_SCHEDULES",
    "OPTIMIZERS",
    "LRSchedule",
    "OptimizerName",
    "Resumption",
    "Trainer",
    "VAENet",
    "check_picklable",
    "nested_params",
    "resolve_epochs",
    "with_params",
]
