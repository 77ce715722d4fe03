"""
Few labels
==========

Images are cheap, labels are not. The VAE learns from all images without a label. Then
``VAEClassifier`` learns from those that have one and, again, from those that have none. Beside it:
a classifier of the labelled images alone, on pixels, on PCA and on the VAE of all images.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.svm import SVC

from sklearn_vae import VAEClassifier, VAETransformer
from sklearn_vae.datasets import fetch_images

X, y = fetch_images("digits", return_X_y=True)
X_test, y_test = fetch_images("digits", subset="test", return_X_y=True)
rows, rows_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)

vae = VAETransformer(16, max_epochs=25, batch_size=64, random_state=0).fit(X)
pca = PCA(16).fit(rows)
features = {
    "pixels, SVC": (rows, rows_test),
    "PCA, 16 dimensions, SVC": (pca.transform(rows), pca.transform(rows_test)),
    "VAE, 16 dimensions, SVC": (vae.transform(X), vae.transform(X_test)),
}


def draw(per_class, seed):
    """Return the rows whose labels are known, as many of each class."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [rng.choice(np.flatnonzero(y == k), per_class, replace=False) for k in range(10)]
    )


# %%
# Ten draws of labels, the same for all. Images without a label have -1. The VAE is frozen, so that
# one training serves all draws.

per_class = [1, 2, 5, 10, 20, 50]
errors = {name: np.empty((len(per_class), 10)) for name in [*features, "VAEClassifier"]}
for i, n in enumerate(per_class):
    for seed in range(10):
        known = draw(n, seed)
        for name, (Z, Z_test) in features.items():
            head = SVC(C=3).fit(Z[known], y[known])
            errors[name][i, seed] = 1 - head.score(Z_test, y_test)
        partly = np.full(len(y), -1)
        partly[known] = y[known]
        classifier = VAEClassifier(FrozenEstimator(vae), random_state=0).fit(X, partly)
        errors["VAEClassifier"][i, seed] = 1 - classifier.score(X_test, y_test)

# %%
# Mean and standard deviation over the draws. The more labels, the less it matters what was learnt
# from images without. On the right an SVC is ahead of ``VAEClassifier``, which is made for few.

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
styles = ["s:", "d--", "o-", "^-"]
for shift, (style, (name, values)) in enumerate(zip(styles, errors.items(), strict=True)):
    mean, spread = 100 * values.mean(1), 100 * values.std(1)
    x = 10 * np.array(per_class) * 1.03 ** (shift - 1.5)  # side by side
    ax.errorbar(x, mean, spread, fmt=style, capsize=3, label=name)
ax.set_xscale("log")
ax.set_xticks([10 * n for n in per_class], [str(10 * n) for n in per_class], minor=False)
ax.minorticks_off()
ax.set(xlabel="labelled images", ylabel="test error, %", ylim=(0, None))
ax.grid(alpha=0.3)
ax.legend(frameon=False)
plt.show()
