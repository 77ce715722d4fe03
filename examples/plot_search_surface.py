"""
Tuning the VAE and the classifier together
==========================================

``GridSearchCV`` reaches into the pipeline: here for the number of latent dimensions and the
penalty of the classifier behind them. With ``memory=`` every VAE is trained once per fold, and
not once more for each value of ``C``.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images

X, y = fetch_images("digits", return_X_y=True)
vae = VAETransformer(network="mlp", max_epochs=20, batch_size=64, random_state=0)
grid = {"vae__z_dim": [2, 4, 8, 16], "svc__C": [1, 10, 100, 1000]}

# %%
# ``random_state`` is an int: with ``None`` every fit would be another, and nothing found in the
# cache.

with tempfile.TemporaryDirectory() as cache:
    pipeline = Pipeline([("vae", vae), ("svc", SVC())], memory=cache)
    search = GridSearchCV(pipeline, grid, cv=3).fit(X[:500], y[:500])
print(search.best_params_)

# %%
# The surface: errors of the cross-validation, mean and, below, standard deviation over three
# folds. Differences smaller than these are noise.

shape = [len(grid[name]) for name in sorted(grid)]  # scikit-learn varies the last name fastest
mean = 100 * (1 - search.cv_results_["mean_test_score"].reshape(shape)).T
spread = 100 * search.cv_results_["std_test_score"].reshape(shape).T

figure, ax = plt.subplots(figsize=(6.5, 4.6), layout="constrained")
image = ax.imshow(mean, cmap="viridis_r", norm="log")
for (i, j), value in np.ndenumerate(mean):
    colour = "k" if value < np.sqrt(mean.min() * mean.max()) else "w"
    ax.text(j, i, f"{value:.1f}\n± {spread[i, j]:.1f}", ha="center", va="center", color=colour)
ax.set_xticks(range(shape[0]), [f"{C:g}" for C in grid["svc__C"]])
ax.set_yticks(range(shape[1]), [str(z) for z in grid["vae__z_dim"]])
ax.set(xlabel="svc__C", ylabel="vae__z_dim")
figure.colorbar(image, label="errors, %", ticks=[10, 20, 40], format="%g").minorticks_off()
plt.show()
