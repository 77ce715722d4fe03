"""
A map of the latent space
=========================

With ``z_dim=2`` the latent space is a plane. On the left are the posterior means of images,
coloured by class: the VAE saw no label. On the right is what the decoder makes of a grid of
points of that plane.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.inspection import LatentDisplay, SampleDisplay

X, y = fetch_images("digits", return_X_y=True)
vae = VAETransformer(2, max_epochs=20, batch_size=64, random_state=0)
Z = vae.fit_transform(X)

# %%
# The grid covers the middle 90 % of the codes in each direction; its rows run from top to bottom.

n = 14
(left, bottom), (right, top) = np.percentile(Z, [5, 95], axis=0)
grid = np.stack(np.meshgrid(np.linspace(left, right, n), np.linspace(top, bottom, n)), -1)

figure, axes = plt.subplots(1, 2, figsize=(11.5, 5.2), layout="constrained")
LatentDisplay.from_estimator(vae, X, y, ax=axes[0], s=14)
axes[0].set_title("Posterior means")
SampleDisplay.from_arrays(vae.inverse_transform(grid.reshape(-1, 2)), n_cols=n, ax=axes[1])
axes[1].set_title("Decoded plane")
plt.show()

# %%
# Two dimensions of PCA, for comparison. A fair question to both maps, neither of which saw a
# label: how often do the ten nearest neighbours in the plane tell the class of an image?

plane = PCA(2).fit_transform(X.reshape(len(X), -1))
figure, axes = plt.subplots(1, 2, figsize=(11.5, 5), layout="constrained")
for ax, name, codes in zip(axes, ("VAE", "PCA"), (Z, plane), strict=True):
    right = cross_val_score(KNeighborsClassifier(10), codes, y, cv=5).mean()
    LatentDisplay.from_arrays(codes, y, ax=ax, s=14)
    ax.set_title(f"{name}: {100 * right:.0f} % of classes told by neighbours")
plt.show()
