"""Image sets in scikit-learn's ``fetch_*`` form, with torchvision underneath."""

from ._fetch import fetch_images

__all__ = ["fetch_images"]
