"""Settings whose trainings take different ways: devices, recordings and traces share them."""

from __future__ import annotations

from sklearn_vae.nn import Conv, Patches, ResNet
from sklearn_vae.training import Augment

SETTINGS = {
    "mlp": {},
    "conv": {"network": Conv((4, 8))},
    "batch norm": {"network": ResNet((4, 8)), "validation_fraction": 0.2},
    "patches": {"network": Patches(Conv((4, 8)), n_filters=5, size=4), "features": "hidden"},
    "geometric": {"augment": "geometric"},
    "natural": {"augment": "natural"},
    "labels": {"label_weight": 1.0},
    "importance": {"importance_samples": 3},
    "vamp": {"prior": "vamp"},
    "mixture": {"prior": "mixture"},
    "iaf": {"posterior": "iaf"},
    "gaussian": {"likelihood": "gaussian"},
    "logistic": {"likelihood": "discretized-logistic"},
    "patience": {"validation_fraction": 0.2, "patience": 1},
}
RECORDED = {
    **SETTINGS,
    "warm-up": {"kl_warmup": 3.0},
    "every range": {"augment": Augment(9, 0.1, 0.1, 5, 0.1, True, 0.1, 0.1, 0.1, 0.3)},
    "adamw": {"optimizer": "adamw"},
    "constant": {"lr_schedule": "constant"},
    "batch norm of labels": {"network": ResNet((4, 8)), "label_weight": 1.0},
}
"""Beside the former, what a step that is replayed might take for constant."""
