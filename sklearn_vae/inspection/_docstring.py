"""What the displays' docstrings share: ``%(name)s`` stands for a part, as in matplotlib's own."""

from __future__ import annotations

import inspect

PARTS = {
    "images": """\
array-like
    ``(n, h, w)``, ``(n, h, w, c)``, ``(n, c, h, w)``, or rows ``(n, d)`` with
    ``image_shape``; uint8 is 0 to 255, float is in [0, 1].""",
    "image_shape": """\
image_shape : tuple of int, default=None
    What one row is: (height, width), (height, width, channels) or (channels, height, width).""",
    "axes": """\
ax_ : matplotlib.axes.Axes
    The axes that all is in.
figure_ : matplotlib.figure.Figure
    The figure of that axes.""",
    "vae": """\
estimator : VAETransformer, FrozenEstimator or Pipeline
    The fitted VAE, or what holds it. Steps of a pipeline before it are applied to X.""",
    "first": """\
X : array-like, torch.Tensor or torch.utils.data.Dataset
    Images in the form that the estimator was fitted on.
n_images : int, default=10
    How many of them are drawn, at most: the first.""",
    "fitted": """\
>>> from sklearn_vae import VAETransformer
>>> from sklearn_vae.datasets import fetch_images
>>> X, y = fetch_images("digits", return_X_y=True)
>>> vae = VAETransformer(8, network="mlp", max_epochs=2, device="cpu").fit(X)""",
    "ax": """\
ax : matplotlib.axes.Axes, default=None
    Where to draw; None makes a new figure.""",
    "returns": """\
Returns
-------
display : object
    The drawn display.""",
    "raises": """\
Raises
------
TypeError
    For another estimator.
ValueError
    For a VAE of vectors, and for an X or a number that does not fit it.
ImportError
    Where matplotlib is missing.""",
}
"""The parts by name, without the margin of a docstring."""
PARTS["drawing"] = f"{PARTS['ax']}\n**kwargs : dict\n    For :meth:`plot`.\n\n{PARTS['returns']}"


def fill_in(cls: type) -> None:
    """Put the parts into the docstrings of a class and of its own methods."""
    members = (getattr(member, "__func__", member) for member in vars(cls).values())
    for part in (cls, *filter(inspect.isfunction, members)):
        if part.__doc__:  # python -OO has none
            part.__doc__ = inspect.cleandoc(part.__doc__) % PARTS
