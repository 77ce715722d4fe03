"""
Images beside a table
=====================

Parcels carry a handwritten number, how many items are inside, and have been weighed. Neither
tells the number for sure: writing can be misread, items differ in weight. ``ColumnTransformer``
sends the pixel columns to the VAE and the others to a scaler, and one classifier gets both.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_vae import VAETransformer

rng = np.random.default_rng(0)
digits = load_digits(as_frame=True)
pixels = list(digits.data.columns)
X = digits.data / 16
X["weight"] = digits.target * 0.5 + rng.normal(0, 0.5, len(X))
y = digits.target
X[["pixel_0_2", "pixel_0_3", "pixel_0_4", "weight"]].head()

# %%
# Rows of pixels are images when ``image_shape`` says so.

vae = VAETransformer(
    16, image_shape=(8, 8), network="mlp", max_epochs=60, batch_size=64, random_state=0
)
table = (StandardScaler(), ["weight"])
parts = {
    "weight": make_column_transformer(table),
    "image": make_column_transformer((vae, pixels)),
    "image and weight": make_column_transformer((vae, pixels), table),
}

# %%
# Three splits with 300 parcels to learn from; the VAE, too, sees only these.

splits = StratifiedShuffleSplit(3, train_size=300, random_state=0)
errors = {name: [] for name in parts}
predicted = {name: [] for name in parts}
truth = []
for train, test in splits.split(X, y):
    truth.append(y.iloc[test])
    for name, part in parts.items():
        model = make_pipeline(part, SVC(C=3)).fit(X.iloc[train], y.iloc[train])
        predicted[name].append(model.predict(X.iloc[test]))
        errors[name].append(100 * (1 - accuracy_score(truth[-1], predicted[name][-1])))

figure, axes = plt.subplots(1, 3, figsize=(12.5, 4.6), layout="constrained")
for ax, name in zip(axes, parts, strict=True):
    ConfusionMatrixDisplay.from_predictions(
        np.concatenate(truth),
        np.concatenate(predicted[name]),
        normalize="true",
        values_format=".0%",
        text_kw={"fontsize": 6},
        ax=ax,
        cmap="Blues",
        colorbar=False,
    )
    mean, spread = np.mean(errors[name]), np.std(errors[name])
    ax.set_title(f"{name}: {mean:.1f} ± {spread:.1f} % errors", fontsize=11)
plt.show()
