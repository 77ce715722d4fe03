"""
Few labels
==========

Images are cheap, labels are not. The VAE learns from all images without a label, then a
classifier learns from those that have one. Beside it: the same classifier on pixels, and on PCA
of all images.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images

X, y = fetch_images("digits", return_X_y=True)
X_test, y_test = fetch_images("digits", subset="test", return_X_y=True)
rows, rows_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)

vae = VAETransformer(16, max_epochs=25, batch_size=64, random_state=0).fit(X)
pca = PCA(16).fit(rows)
features = {
    "pixels": (rows, rows_test),
    "PCA, 16 dimensions": (pca.transform(rows), pca.transform(rows_test)),
    "VAE, 16 dimensions": (vae.transform(X), vae.transform(X_test)),
}


def draw(per_class, seed):
    """Return the rows whose labels are known, as many of each class."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [rng.choice(np.flatnonzero(y == k), per_class, replace=False) for k in range(10)]
    )


# %%
# Ten draws of labels, the same for all. ``LabelSpreading`` also uses the images without a label,
# which scikit-learn marks with -1. Its graph joins two images when either is among the nearest of
# the other.


def neighbours(A, B):
    """Return who is a neighbour of whom."""
    graph = NearestNeighbors(n_neighbors=10).fit(A).kneighbors_graph(B)
    return graph.maximum(graph.T) if B is A else graph.T


per_class = [1, 2, 5, 10, 20, 50]
errors = {name: np.empty((len(per_class), 10)) for name in [*features, "VAE, LabelSpreading"]}
for i, n in enumerate(per_class):
    for seed in range(10):
        known = draw(n, seed)
        for name, (Z, Z_test) in features.items():
            head = SVC(C=3).fit(Z[known], y[known])
            errors[name][i, seed] = 1 - head.score(Z_test, y_test)
        Z, Z_test = features["VAE, 16 dimensions"]
        partly = np.full(len(y), -1)
        partly[known] = y[known]
        head = LabelSpreading(kernel=neighbours, alpha=0.99, max_iter=1000)
        errors["VAE, LabelSpreading"][i, seed] = 1 - head.fit(Z, partly).score(Z_test, y_test)

# %%
# Mean and standard deviation over the draws. The more labels, the less it matters what the VAE
# learnt from images without: on the right the curves meet.

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
