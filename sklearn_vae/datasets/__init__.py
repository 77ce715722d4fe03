"""Images from named sets, folders and tables, in scikit-learn's ``fetch_*`` and ``load_*`` form."""

from ._fetch import fetch_images
from ._image_folder import load_image_folder
from ._reader import ImageReader
from ._shuffle import shuffle_chunks

__all__ = ["ImageReader", "fetch_images", "load_image_folder", "shuffle_chunks"]
