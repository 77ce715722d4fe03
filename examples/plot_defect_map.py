"""
Where are the defects?
======================

A scratch is a small part of a large picture: the score of a whole image hardly changes with it.
With ``patches`` a detector looks at windows of the image instead, scores the image by its most
unusual places, and maps them. Images may differ in size. Brushed metal and its faults are made
here.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from sklearn_vae import VAEDetector


def metal(height, width, rng):
    """Return a surface, uint8: brushed along its width, lit from a side, more or less."""
    grain = gaussian_filter(rng.normal(size=(height, width)), (0.7, 9))
    light = gaussian_filter(rng.normal(size=(height, width)), 40)
    level = rng.uniform(100, 160) + 10 * light / light.std() + 8 * grain / grain.std()
    return level.clip(0, 255).astype(np.uint8)


def spoilt(surface, rng):
    """Return a copy with a fault: a scratch across the grain, a pit, or a stain."""
    x = surface.astype(float)
    height, width = x.shape
    rows, columns = np.mgrid[:height, :width]
    r, c = rng.integers(30, height - 30), rng.integers(30, width - 30)
    kind = rng.integers(3)
    if kind == 0:
        slope, far = rng.uniform(1, 3), np.hypot(rows - r, columns - c)
        x[(np.abs(columns - c - (rows - r) / slope) < 1.2) & (far < 18)] += 45
    elif kind == 1:
        x -= 70 * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 16)
    else:
        near = np.exp(-((rows - r) ** 2 / 60 + (columns - c) ** 2 / 200))
        x = (1 - near) * x + near * gaussian_filter(x, 4)
    return x.clip(0, 255).astype(np.uint8)


def surfaces(n, rng):
    """Return n surfaces of several sizes."""
    return [metal(*rng.integers((120, 180), (160, 240)), rng) for _ in range(n)]


rng = np.random.default_rng(0)
X_train, X_good = surfaces(20, rng), surfaces(20, rng)
X_bad = [spoilt(x, rng) for x in surfaces(20, rng)]

# %%
# Squares of 16 pixels, which overlap; the VAEs see them as 8 x 8 averages. Their reconstruction
# error is what tells small faults, compared with what is usual. ``fit`` takes a list of arrays, or
# of paths, which are read one at a time.

detector = VAEDetector(patches=16, method="reconstruction", random_state=0).fit(X_train)
scores = detector.score_samples(X_good + X_bad)
is_good = np.arange(40) < 20
print(f"AUROC {roc_auc_score(is_good, scores):.3f}")
print(f"p-values of the first faulty surfaces: {detector.p_values(X_bad[:6]).round(2)}")

# %%
# Maps are in pixels, one for each image: how many standard deviations a place is above what is
# usual there. Pits and scratches are found. The last image has a stain that is only smoother than
# what is around it: its error is small, and it is missed.

maps = detector.score_map(X_bad[:6])
figure, axes = plt.subplots(4, 3, figsize=(9, 8), layout="constrained")
for k, (x, found) in enumerate(zip(X_bad, maps, strict=False)):
    above, below = axes[2 * (k // 3), k % 3], axes[2 * (k // 3) + 1, k % 3]
    above.imshow(x, cmap="gray", vmin=0, vmax=255)
    heat = below.imshow(found, cmap="inferno", vmin=0, vmax=8)
    for ax in (above, below):
        ax.set_axis_off()
figure.colorbar(heat, ax=axes, shrink=0.6, label="standard deviations")
plt.show()
