"""
Synthetic images, class by class
================================

:class:`~sklearn_vae.VAEAugmenter` draws images of a class in several ways. To judge them, look at
each beside the real image that is nearest to it: a copy teaches a classifier nothing, an image of
another class teaches it something wrong.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors

from sklearn_vae import VAEAugmenter, VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.inspection import SampleDisplay

X, y = fetch_images("digits", return_X_y=True)
template = VAETransformer(
    8, network="mlp", augment=None, max_epochs=30, batch_size=64, random_state=0
)
vae = FrozenEstimator(template.fit(X))

# %%
# One VAE serves all methods but ``"conditional"``, whose decoder sees the class, and
# ``"deformation"``, which learns how images of a class turn into each other; these train their own.
# ``"bootstrap"`` with ``augment`` is ordinary augmentation, without a VAE: the
# control.

augmenters = {
    "posterior": VAEAugmenter(vae=vae, method="posterior", n_new=20, random_state=0),
    "interpolation": VAEAugmenter(vae=vae, method="interpolation", n_new=20, random_state=0),
    "density": VAEAugmenter(vae=vae, method="density", n_new=20, random_state=0),
    "conditional": VAEAugmenter(vae=template, method="conditional", n_new=20, random_state=0),
    "deformation": VAEAugmenter(vae=template, method="deformation", n_new=20, random_state=0),
    "transforms alone": VAEAugmenter(method="bootstrap", augment=0.5, n_new=20, random_state=0),
}
nearest = NearestNeighbors(n_neighbors=1).fit(X.reshape(len(X), -1))
synthetic = {}
for name, augmenter in augmenters.items():
    X_out, y_out = augmenter.fit_resample(X, y)
    synthetic[name] = X_out[augmenter.is_synthetic_], y_out[augmenter.is_synthetic_]

# %%
# One row for each class. In each pair of columns the image on the left is synthetic, and the one
# on its right the nearest of all real images.

widths = {"width_ratios": [3, 4, 4, 4, 4, 4, 4]}
figure, axes = plt.subplots(1, 7, figsize=(15, 6.3), layout="constrained", gridspec_kw=widths)
SampleDisplay.from_arrays(X, y, n_cols=3, ax=axes[0])
axes[0].set_title("real")
facts = {}
for ax, (name, (X_new, y_new)) in zip(axes[1:], synthetic.items(), strict=True):
    distance, index = nearest.kneighbors(X_new.reshape(len(X_new), -1))
    facts[name] = distance[:, 0], np.mean(y[index[:, 0]] == y_new)
    pairs = np.stack([X_new, X[index[:, 0]]], 1).reshape(-1, 8, 8)
    SampleDisplay.from_arrays(pairs, y_new.repeat(2), n_cols=4, ax=ax)
    ax.set_xticks(range(4), ["new", "real"] * 2, fontsize=8)
    ax.set_yticks([])
    ax.set_title(name, fontsize=11)
plt.show()

# %%
# In numbers: how far the synthetic images are from the nearest real one, against how far real
# images are from each other. And how often that neighbour is of the class that was asked for.

distance, _ = nearest.kneighbors(X.reshape(len(X), -1), n_neighbors=2)
typical = np.median(distance[:, 1])
print(f"{'method':18}{'distance':>9}{'right class':>13}")
for name, (far, same) in facts.items():
    print(f"{name:18}{np.median(far) / typical:9.2f}{100 * same:11.0f} %")
