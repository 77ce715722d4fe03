"""
From one image to another
=========================

Halfway between two images in pixel space lie two images on top of each other. Halfway between
their latent codes lies an image of its own.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neighbors import NearestNeighbors

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.inspection import InterpolationDisplay

X, y = fetch_images("digits", return_X_y=True)
X_test, y_test = fetch_images("digits", subset="test", return_X_y=True)
vae = VAETransformer(8, augment=None, max_epochs=25, batch_size=64, random_state=0).fit(X)

# %%
# ``InterpolationDisplay`` decodes points on the line between two codes; the images at both ends
# are the real ones. The cross-fades are drawn by the same class from an array.

pairs = [(1, 7), (3, 8), (4, 9), (0, 6), (2, 3)]
starts, ends = (X_test[[np.flatnonzero(y_test == pair[k])[k] for pair in pairs]] for k in (0, 1))
t = np.linspace(0, 1, 10)[None, :, None, None]
fades = (1 - t) * starts[:, None] + t * ends[:, None]

figure, axes = plt.subplots(1, 2, figsize=(12, 3.6), layout="constrained")
InterpolationDisplay.from_estimator(vae, starts, ends, n_steps=8, ax=axes[0])
InterpolationDisplay(starts, ends, fades[:, 1:-1]).plot(ax=axes[1])
axes[0].set_title("Through the latent space")
axes[1].set_title("Cross-fades")
for ax in axes:
    ax.set(xticks=[], xlabel="")
plt.show()

# %%
# Do the midpoints look like digits? Take the midpoints of 500 pairs of test images of different
# classes, and the distance of each to the nearest training image: the smaller, the more like a
# digit. Decoded images are smooth, which also brings them nearer to everything; so the
# reconstructions of the pairs' first images are there as a reference.

rng = np.random.default_rng(0)
i, j = rng.integers(len(X_test), size=(2, 1000))
i, j = (k[y_test[i] != y_test[j]][:500] for k in (i, j))
Z = vae.transform(X_test)
images = {
    "test images": X_test[i],
    "their reconstructions": vae.reconstruct(X_test[i]),
    "latent midpoints": vae.inverse_transform((Z[i] + Z[j]) / 2),
    "cross-fade midpoints": (X_test[i] + X_test[j]) / 2,
}
nearest = NearestNeighbors(n_neighbors=1).fit(X.reshape(len(X), -1))
distances = {k: nearest.kneighbors(v.reshape(len(v), -1))[0][:, 0] for k, v in images.items()}
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.boxplot(list(distances.values()), widths=0.6, showfliers=False)
ax.set_xticks(range(1, 5), [name.replace(" ", "\n", 1) for name in distances])
ax.set_ylabel("distance to the nearest training image")
plt.show()
