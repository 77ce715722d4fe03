"""Whether a training ended in a posterior that tells nothing."""

from __future__ import annotations

import warnings

from ..model import VAE

ACTIVE = 0.01
"""Share of the variance of codes that posterior means have in a dimension in use."""
SETTLED = 100
"""Steps after which a collapse is told; before it may be but the start."""


def n_active(model: VAE) -> int:
    """Return the number of latent dimensions in use (Burda et al., ICLR 2016, section 5.2)."""
    return int((model.activity > ACTIVE).sum())


def warn_of_collapse(active: int, steps: int, *, images: bool) -> None:
    """Warn, with the remedy, where no dimension is in use after a training of so many steps."""
    if active or steps < SETTLED:
        return
    remedy = "Lower beta"
    if not images:
        remedy = (
            "Of columns that do not correlate, such as whitened scores of PCA, this is the "
            "optimum, as for probabilistic PCA: pass scores without whitening. Else lower beta"
        )
    warnings.warn(
        "No latent dimension is in use (n_active_=0): the posterior has collapsed onto the prior, "
        f"and codes tell next to nothing of X. {remedy}, or fix the noise, "
        "likelihood=Gaussian(scale=0.1).",
        UserWarning,
        stacklevel=5,
    )
