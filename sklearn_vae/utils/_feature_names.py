"""Names of features that come from images."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils.validation import check_is_fitted


class FeatureNamesMixin(ClassNamePrefixFeaturesOutMixin):
    """Names of features by the class, for an estimator with ``spec_``."""

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
        names: np.ndarray = super().get_feature_names_out(input_features if in_rows else None)
        return names
