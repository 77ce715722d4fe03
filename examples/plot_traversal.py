"""
What single latent dimensions stand for
=======================================

Images of discs, made here, differ in three things: where the disc is, across and down, and how
large it is. A VAE is told none of these and has six latent dimensions to spend.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_vae import VAETransformer
from sklearn_vae.inspection import TraversalDisplay

SIDE = 16
factors = {"across": (4, 12), "down": (4, 12), "radius": (1.5, 4)}
rng = np.random.default_rng(0)
values = np.column_stack([rng.uniform(*bounds, 3000) for bounds in factors.values()])
rows, columns = np.mgrid[:SIDE, :SIDE]
across, down, radius = (v[:, None, None] for v in values.T)
X = np.clip(radius - np.hypot(columns - across, rows - down) + 0.5, 0, 1)

# %%
# ``augment=None``: otherwise the latent code would be taught to forget position and size.
# ``beta=4`` makes dimensions dear, so that the VAE spends few and keeps them apart; the price is
# blur.

vae = VAETransformer(
    6, network="mlp", beta=4, augment=None, max_epochs=25, batch_size=64, random_state=0
).fit(X)
display = TraversalDisplay.from_estimator(vae, X, dimensions=6, n_steps=9, span=2)
plt.show()

# %%
# Each row changes one dimension. They are sorted by how much the latent means vary in them; in
# rows where nothing changes the VAE does not use the dimension. The correlations of latent means
# and true factors say the same in numbers. Size has a dimension of its own. The two for the
# position may be turned against across and down: nothing in the ELBO prefers one pair of
# directions to another.

Z = vae.transform(X)[:, display.dimensions]
correlation = np.corrcoef(Z.T, values.T)[:6, 6:]
figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
image = ax.imshow(np.abs(correlation), cmap="viridis", vmin=0, vmax=1, aspect="auto")
ax.set_xticks(range(3), list(factors))
ax.set_yticks(range(6), [f"$z_{{{d}}}$" for d in display.dimensions])
for (i, j), value in np.ndenumerate(np.abs(correlation)):
    ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="k" if value > 0.6 else "w")
figure.colorbar(image, label="absolute correlation")
plt.show()
