"""
A VAE in a scikit-learn pipeline
================================

The VAE is an ordinary step: ``fit`` trains it and the classifier behind it, ``predict`` goes
through both. Here it stands beside PCA with as many dimensions, in front of the same classifier.
"""

# %%
# Images are arrays ``(n, height, width)``, so that the VAE knows what is next to what. PCA wants
# rows.

import matplotlib.pyplot as plt
from sklearn.decomposition import PCA
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images

X, y = fetch_images("digits", return_X_y=True)
X_test, y_test = fetch_images("digits", subset="test", return_X_y=True)


def as_rows(X):
    """Return images as rows of pixels."""
    return X.reshape(len(X), -1)


vae = VAETransformer(16, max_epochs=20, batch_size=64, random_state=0)
pipelines = {
    "VAE, 16 dimensions": make_pipeline(vae, SVC(C=3)),
    "PCA, 16 dimensions": make_pipeline(FunctionTransformer(as_rows), PCA(16), SVC(C=3)),
}

# %%
# Both are fitted to all 1,347 labelled images and tested on 450 others.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
for ax, (name, pipeline) in zip(axes, pipelines.items(), strict=True):
    pipeline.fit(X, y)
    error = 100 * (1 - pipeline.score(X_test, y_test))
    ConfusionMatrixDisplay.from_estimator(
        pipeline, X_test, y_test, ax=ax, cmap="Blues", colorbar=False
    )
    ax.set_title(f"{name}: {error:.1f} % errors")
plt.show()

# %%
# With every image labelled, and images as small and simple as these, **PCA is the better
# choice**. The VAE earns its keep where labels are few
# (:ref:`sphx_glr_gallery_plot_few_labels.py`) and on images that are less tidy
# (:doc:`/benchmarks/index`).
