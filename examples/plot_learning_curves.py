"""
Learning curves
===============

``history_`` has the loss and its two terms for every epoch, for training and, with
``validation_fraction`` or ``patience``, for held-out images.
"""

import matplotlib.pyplot as plt

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.inspection import TrainingCurveDisplay

X, y = fetch_images("digits", return_X_y=True)
X, y = X[:200], y[:200]
common = {"z_dim": 16, "network": "mlp", "max_epochs": 150, "batch_size": 32, "random_state": 0}
common |= {"lr_schedule": "constant", "validation_fraction": 0.3}

# %%
# Few images, a constant learning rate and no augmentation: the VAE learns its training images by
# heart, and the validation loss turns round. ``patience`` stops soon after and goes back to the
# best weights. With augmentation, the default, the encoder never sees the same image twice, and
# the two losses stay together for longer. But the best loss is higher, as the code forgets pose
# and size.

vaes = {
    "augment=None": VAETransformer(**common, augment=None),
    "augment=None, patience=10": VAETransformer(**common, augment=None, patience=10),
    'augment="auto"': VAETransformer(**common),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), sharex=True, sharey=True, layout="constrained")
for ax, (name, vae) in zip(axes, vaes.items(), strict=True):
    TrainingCurveDisplay.from_estimator(vae.fit(X, y), ax=ax)
    best = min(row["valid_loss"] for row in vae.history_)
    ax.set_title(f"{name}\nbest validation loss {best:.1f}", fontsize=10)
    ax.label_outer()
axes[0].set_ylim(-50, 40)
plt.show()

# %%
# The terms behind the loss: the log-likelihood is what the decoder gets right, the KL term what
# the code costs. A KL term near zero is a collapsed posterior; ``kl_warmup`` and ``free_bits``
# are against that.

TrainingCurveDisplay.from_estimator(vaes['augment="auto"'], terms=["log_likelihood", "kl"])
plt.show()
