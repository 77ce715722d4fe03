"""What the displays' docstrings share: there ``%(name)s``, as in matplotlib's, stands for a part.

The parts, each below its name:

== images
array-like
    ``(n, h, w)``, ``(n, h, w, c)``, ``(n, c, h, w)``, or rows ``(n, d)`` with
    ``image_shape``; uint8 is 0 to 255, float is in [0, 1].

== image_shape
image_shape : tuple of int, default=None
    What one row is: (height, width), (height, width, channels) or (channels, height, width).

== axes
ax_ : matplotlib.axes.Axes
    The axes that all is in.
figure_ : matplotlib.figure.Figure
    The figure of that axes.

== vae
estimator : VAETransformer, FrozenEstimator or Pipeline
    The fitted VAE, or what holds it. Steps of a pipeline before it are applied to X.

== first
X : array-like, torch.Tensor or torch.utils.data.Dataset
    Images in the form that the estimator was fitted on.
n_images : int, default=10
    How many of them are drawn, at most: the first.

== ax
ax : matplotlib.axes.Axes, default=None
    Where to draw; None makes a new figure.

== drawing
ax : matplotlib.axes.Axes, default=None
    Where to draw; None makes a new figure.
**kwargs : dict
    For :meth:`plot`.

Returns
-------
display : object
    The drawn display.

== drawn
Returns
-------
display : object
    The drawn display.

Raises
------
ValueError
    For what cannot be drawn; the message says why.
ImportError
    Where matplotlib is missing.

== raises
Raises
------
TypeError
    For another estimator.
ValueError
    For an argument that does not fit the VAE; displays of images need a VAE of images.
ImportError
    Where matplotlib is missing.

== fitted
>>> from sklearn_vae import VAETransformer
>>> from sklearn_vae.datasets import fetch_images
>>> X, y = fetch_images("digits", return_X_y=True)
>>> vae = VAETransformer(8, network="mlp", max_epochs=2, device="cpu").fit(X)
"""  # noqa: D410, D411 - the sections are not this docstring's own

from __future__ import annotations

import inspect
import re

PARTS = dict(re.findall(r"^== (\w+)\n(.*?)\n(?=\n==|\Z)", __doc__ or "", flags=re.M | re.S))


def fill_in(cls: type) -> None:
    """Put the parts into the docstrings of a class and of its own methods."""
    members = (getattr(member, "__func__", member) for member in vars(cls).values())
    for part in (cls, *filter(inspect.isfunction, members)):
        if part.__doc__:  # python -OO has none
            doc = inspect.cleandoc(part.__doc__) + "\n"  # numpydoc asks for it
            # Of a subclass elsewhere, too: any % may be in it.
            part.__doc__ = re.sub(r"%\((\w+)\)s", lambda name: PARTS.get(name[1], name[0]), doc)
