"""
Reconstructions, beside PCA
===========================

How much of an image is left after it has been squeezed through a few numbers? PCA is the best
*linear* answer for the squared error, needs no training loop, and is hard to beat when the
numbers are many.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.inspection import ReconstructionDisplay

X = fetch_images("digits").data
X_test = fetch_images("digits", subset="test").data
rows, rows_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)

# %%
# ``augment=None`` makes reconstructions sharper: the latent code then holds the pose, too.

z_dims = [2, 4, 8, 16]
vaes = {
    z: VAETransformer(
        z, network="mlp", augment=None, max_epochs=20, batch_size=64, random_state=0
    ).fit(X)
    for z in z_dims
}
pcas = {z: PCA(z).fit(rows) for z in z_dims}

# %%
# With four numbers an image:

figure, axes = plt.subplots(2, 1, figsize=(9, 3.8), layout="constrained")
ReconstructionDisplay.from_estimator(vaes[4], X_test, n_images=12, ax=axes[0])
axes[0].set_title("VAE")
of_pca = pcas[4].inverse_transform(pcas[4].transform(rows_test[:12])).clip(0, 1)
ReconstructionDisplay.from_arrays(X_test[:12], of_pca.reshape(-1, 8, 8), ax=axes[1])
axes[1].set_title("PCA")
plt.show()

# %%
# The squared error of test images against the number of dimensions. The VAE's curve flattens: it
# balances the error against the KL term, which charges for every dimension in use, and whatever
# is left counts as noise. PCA pays nothing for a dimension.

errors = {
    "VAE": [np.square(X_test - vaes[z].reconstruct(X_test)).mean() for z in z_dims],
    "PCA": [
        np.square(rows_test - pcas[z].inverse_transform(pcas[z].transform(rows_test))).mean()
        for z in z_dims
    ],
}
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, values in errors.items():
    ax.plot(z_dims, values, "o-", label=name)
ax.set_xscale("log", base=2)
ax.set_xticks(z_dims, [str(z) for z in z_dims])
ax.set(xlabel="dimensions", ylabel="mean squared error, test images", ylim=(0, None))
ax.grid(alpha=0.3)
ax.legend(frameon=False)
plt.show()
