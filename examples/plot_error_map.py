"""
Where is the defect?
====================

A VAE that has only seen flawless cloth cannot rebuild a flaw. Where an image differs from its
reconstruction is where to look, and how much it differs is a score. Cloth and flaws are made
here.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import RocCurveDisplay

from sklearn_vae import VAEDetector, VAETransformer
from sklearn_vae.inspection import ErrorMapDisplay

SIDE = 24
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def weave(n, rng):
    """Return n patches of cloth, (n, SIDE, SIDE): two threads of changing pitch and light."""
    shifts = rng.uniform(0, 2 * np.pi, (2, n, 1, 1))
    pitch = rng.uniform(0.165, 0.175, (2, n, 1, 1)) * 2 * np.pi
    threads = np.sin(COLUMNS * pitch[0] + shifts[0]) * np.sin(ROWS * pitch[1] + shifts[1])
    light = rng.uniform(0.45, 0.55, (n, 1, 1))
    return np.clip(light + 0.25 * threads + rng.normal(0, 0.03, threads.shape), 0, 1)


def spoil(X, rng):
    """Return copies with a flaw each: a stain, a pulled thread, or a scratch across."""
    X = X.copy()
    for k, x in enumerate(X):
        r, c = rng.integers(5, SIDE - 5, 2)
        if k % 3 == 0:
            x[np.hypot(ROWS - r, COLUMNS - c) < rng.uniform(2, 3.5)] *= 0.65
        elif k % 3 == 1:
            x[:, c : c + 2] = x[:, c : c + 2].mean()
        else:
            slope = rng.uniform(-1, 1)
            x[np.abs(ROWS - r - slope * (COLUMNS - c)) < 0.8] += 0.2
    return X.clip(0, 1)


rng = np.random.default_rng(0)
X_train, X_good, X_bad = weave(1500, rng), weave(300, rng), spoil(weave(300, rng), rng)

# %%
# Flawless patches only in training. ``augment=None``: everything about a patch matters here.

vae = VAETransformer(
    8, likelihood="gaussian", augment=None, max_epochs=10, batch_size=64, random_state=0
)
detector = VAEDetector(vae, method="reconstruction", contamination=0.01).fit(X_train)
ErrorMapDisplay.from_estimator(detector, X_bad, n_images=9)
plt.show()

# %%
# How well do scores of whole patches tell the good from the bad? Other scores of the same VAEs
# need no training: the method of a fitted detector can be changed. The control is the
# reconstruction error of PCA, with as many dimensions as the VAE and with many more.

X_test = np.concatenate([X_good, X_bad])
is_bad = np.arange(len(X_test)) >= len(X_good)
scores = {
    method: detector.set_params(method=method).score_samples(X_test)
    for method in ("path", "elbo", "latent", "reconstruction")
}
rows = X_test.reshape(len(X_test), -1)
for n in (8, 40):
    pca = PCA(n, random_state=0).fit(X_train.reshape(len(X_train), -1))
    lost = rows - pca.inverse_transform(pca.transform(rows))
    scores[f"PCA, {n} dimensions"] = -np.square(lost).mean(1)

figure, ax = plt.subplots(figsize=(5.5, 5), layout="constrained")
for name, score in scores.items():
    style = "--" if name.startswith("PCA") else "-"
    RocCurveDisplay.from_predictions(
        is_bad, -score, name=name, ax=ax, curve_kwargs={"linestyle": style}
    )
plt.show()

# %%
# Reconstruction errors find the flaws; where the latent mean lies says nothing, as the encoder
# takes flawed cloth for cloth. **PCA is as good here, and with enough dimensions better**:
# regular patterns are sums of a few waves, which is a linear affair. Try it first, and the VAE
# where images vary in ways that no few components span.

found = (detector.predict(X_bad) == -1).mean()
alarms = (detector.predict(X_good) == -1).mean()
print(f"predict: {100 * found:.0f} % of flaws found, {100 * alarms:.1f} % false alarms")
