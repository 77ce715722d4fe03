"""Features of images, or of rows: their names, and scikit-learn's tags of what makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted


class ImageFeaturesMixin(ClassNamePrefixFeaturesOutMixin):
    """What estimators with ``spec_`` share that make float32 features of images or rows."""

    spec_: Any

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features: the class's in lower case, with a number.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Of X in rows, the names of its columns. Not used with arrays or a column of images.

        Returns
        -------
        names : ndarray of str
            One for each column that :meth:`transform` returns, ``vaetransformer0`` and so on.
        """
        check_is_fitted(self)
        in_rows = len(self.spec_.raw_shape) == 1
        return super().get_feature_names_out(input_features if in_rows else None)

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: float32 comes out, n-D and 2-D arrays go in."""
        tags: Tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = True
        return tags
