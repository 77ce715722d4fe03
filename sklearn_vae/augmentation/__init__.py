"""Augmentation: what the encoder sees of a batch in training."""

from ._augment import AUGMENTATIONS, Augment

__all__ = ["AUGMENTATIONS", "Augment"]
