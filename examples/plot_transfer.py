"""
Transfer: classes that the VAE has not seen
===========================================

A VAE was trained on images of the digits 0 to 4. Does it help with 5 to 9? It can be used as it
is, or be trained further on the new images with ``warm_start=True``, still without labels.
"""

import copy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.inspection import ReconstructionDisplay

X, y = fetch_images("digits", return_X_y=True)
X_test, y_test = fetch_images("digits", subset="test", return_X_y=True)
X_old = X[y < 5]
X_new, y_new = X[y > 4], y[y > 4]
X_test, y_test = X_test[y_test > 4], y_test[y_test > 4]

# %%
# A copy keeps the pre-trained VAE as it was. ``fit`` then goes on from its weights for
# ``max_epochs`` more epochs, and the learning rate is lower than for a start from nothing.

settings = {"z_dim": 16, "batch_size": 64, "random_state": 0}
vaes = {"frozen": VAETransformer(**settings, max_epochs=30).fit(X_old)}
tuned = copy.deepcopy(vaes["frozen"]).set_params(warm_start=True, max_epochs=5, lr=1e-3)
vaes["fine-tuned, 5 epochs"] = tuned.fit(X_new)
vaes["from nothing, 5 epochs"] = VAETransformer(**settings, max_epochs=5).fit(X_new)

figure, axes = plt.subplots(3, 1, figsize=(9, 5.5), layout="constrained")
for ax, (name, vae) in zip(axes, vaes.items(), strict=True):
    ReconstructionDisplay.from_estimator(vae, X_test, n_images=12, ax=ax)
    ax.set_title(name)
plt.show()

# %%
# Test errors of an SVC with 50 labels of the new classes, ten draws. A few epochs on the new
# images do more for a pre-trained VAE than for a fresh one; frozen, it lacks what tells a 5 from
# an 8. **PCA of the new images is about as good** as the fine-tuned VAE here.

pca = PCA(16).fit(X_new.reshape(len(X_new), -1))
transforms = {name: vae.transform for name, vae in vaes.items()}
transforms["PCA of the new images"] = lambda X: pca.transform(X.reshape(len(X), -1))
errors = {}
for name, transform in transforms.items():
    Z, Z_test = transform(X_new), transform(X_test)
    errors[name] = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        known = np.concatenate(
            [rng.choice(np.flatnonzero(y_new == k), 10, replace=False) for k in range(5, 10)]
        )
        head = SVC(C=3).fit(Z[known], y_new[known])
        errors[name].append(100 * (1 - head.score(Z_test, y_test)))

figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
means, spreads = (np.array([f(e) for e in errors.values()]) for f in (np.mean, np.std))
colours = ["C0", "C0", "C0", "C1"]
ax.barh(list(errors), means, 0.6, xerr=spreads, capsize=3, color=colours)
ax.invert_yaxis()
ax.set_xlabel("test error, %")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
