"""What the kinds of VAE share: rows of codes, in the form of X."""

import numpy as np
import pytest
from helpers import tiny

from sklearn_vae import VAEAugmenter
from sklearn_vae.synthesis import METHODS


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_rows_of_codes_are_in_the_form_of_x(method, dtype, images, labels):
    X = (images * 255).astype(dtype) if dtype == "uint8" else images.astype(dtype)
    model = VAEAugmenter(vae=tiny(), method=method, n_new=1).fit(X, labels).generator_.model
    z_dim = 0 if method == "bootstrap" else 3
    new = model.generate(np.zeros((5, z_dim)), label=1, rows=X[:5] if model.from_rows else None)
    assert new.shape == (5, 8, 8)
    assert new.dtype == X.dtype
    features = model.features(X[:7])
    assert features.shape == (7, 64 if model.from_rows else 3)
    if method == "bootstrap":
        np.testing.assert_array_equal(new, X[:5])
