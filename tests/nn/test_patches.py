"""Whitened patches: the responses by another path, what they are blind to, and beside a VAE."""

import numpy as np
import pytest
import torch
from helpers import same_weights, synthetic_images, tiny, weights

from sklearn_vae.nn import MLP, Conv, Patches
from sklearn_vae.nn._patches import MIN_EIGENVALUE, MIN_VARIANCE, THRESHOLD, WhitenedPatches

SMALL = Conv((4,), batch_norm=True)


def filters_of(images, n_filters=7, size=3, grid=2):
    """Return filters taken from images, and these as a tensor."""
    x = torch.from_numpy(np.moveaxis(images, 3, 1)).contiguous()
    torch.manual_seed(0)
    filters = WhitenedPatches(x.shape[1], n_filters, size, grid)
    filters.take_from(x)
    return filters, x


def normalised_patches(x, size):
    """Return all patches of x, (n, rows, columns, c * size * size), at unit contrast."""
    windows = np.lib.stride_tricks.sliding_window_view(x.numpy(), (size, size), (2, 3))
    patches = np.moveaxis(windows, 1, 3).reshape(*windows.shape[:1], *windows.shape[2:4], -1)
    patches = patches - patches.mean(-1, keepdims=True)
    return patches / np.sqrt(patches.var(-1, keepdims=True) + MIN_VARIANCE)


def test_responses_are_those_of_normalised_patches():
    filters, x = filters_of(synthetic_images(6, 9, 11, 3))
    response = normalised_patches(x, 3) @ filters.weight.flatten(1).numpy().T + filters.bias.numpy()
    signs = np.concatenate([response - THRESHOLD, -response - THRESHOLD], -1).clip(min=0)
    assert signs.shape == (6, 7, 9, 14)
    found = filters(x)
    assert found.shape == (6, 14, 2, 2)
    for i, rows in enumerate((slice(0, 4), slice(3, 7))):  # odd maps share their middle
        for j, columns in enumerate((slice(0, 5), slice(4, 9))):
            expected = signs[:, rows, columns].mean((1, 2))
            np.testing.assert_allclose(found[:, :, i, j].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("grid", [1, 3])
def test_responses_are_averaged_over_the_cells(grid):
    X = synthetic_images(30, 11, 11, 3)
    filters, x = filters_of(X, grid=grid)
    cell = 9 // grid
    response = normalised_patches(x, 3) @ filters.weight.flatten(1).numpy().T + filters.bias.numpy()
    signs = np.concatenate([response - THRESHOLD, -response - THRESHOLD], -1).clip(min=0)
    expected = signs.reshape(30, grid, cell, grid, cell, 14).mean((2, 4))
    np.testing.assert_allclose(filters(x).numpy(), np.moveaxis(expected, 3, 1), atol=1e-4)
    network = Patches(MLP((6,)), n_filters=5, size=3, grid=grid)
    Z = tiny(network=network, features="hidden").fit_transform(X)
    assert Z.shape == (30, 10 * grid**2 + 6)


def test_patches_are_whitened():
    # Neighbouring pixels are alike, and so are the channels; all directions but that of the mean
    # come out with the variance that its floor leaves of 1.
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.15, (300, 14, 13, 1)) + rng.normal(0, 0.05, (300, 14, 13, 3))
    smooth = noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)
    filters, x = filters_of((0.5 + smooth).astype(np.float32)[:, 1:, 1:], 50, 3)
    patches = normalised_patches(x, 3).reshape(-1, 27)
    response = patches @ filters.weight.flatten(1).numpy().T + filters.bias.numpy()
    assert np.abs(response.mean(0)).max() < 0.02
    before = np.cov(patches.T)
    eigenvalues, vectors = np.linalg.eigh(before)
    whiten = (vectors / np.sqrt(eigenvalues + MIN_EIGENVALUE)) @ vectors.T
    unwhitened = filters.weight.flatten(1).numpy() @ np.linalg.inv(whiten)
    np.testing.assert_allclose(np.linalg.norm(unwhitened, axis=1), 1, atol=0.02)
    expected = np.einsum("kd,de,ke->k", unwhitened, whiten @ before @ whiten, unwhitened)
    np.testing.assert_allclose(response.var(0), expected, rtol=0.05)


def test_brightness_and_contrast_are_forgotten():
    filters, x = filters_of(synthetic_images(20, 12, 12, 1))
    both = np.corrcoef(filters(x).flatten(), filters(0.9 * x + 0.1).flatten())
    assert both[0, 1] > 0.999  # not 1: the floor of the variance is felt a little
    assert float(filters(x).std()) > 0.04


def test_flat_images_have_finite_responses():
    filters, x = filters_of(np.full((5, 8, 8, 3), 0.3, np.float32))
    assert torch.isfinite(filters(x)).all()


def test_the_size_of_a_batch_changes_nothing():
    filters, x = filters_of(synthetic_images(11, 10, 10, 3))
    singly = torch.cat([filters(x[i : i + 1]) for i in range(11)])
    torch.testing.assert_close(filters(x), singly)


def test_training_knows_nothing_of_them():
    X = synthetic_images(30, 12, 10, 3, dtype="uint8")
    plain = tiny(network=SMALL, features="hidden").fit(X)
    beside = tiny(network=Patches(SMALL, n_filters=5, size=4), features="hidden").fit(X)
    assert beside.history_[-1]["train_loss"] == plain.history_[-1]["train_loss"]
    hidden, own = beside.transform(X), plain.transform(X)
    assert hidden.shape == (30, 8 * 5 + own.shape[1])
    np.testing.assert_allclose(  # the same but for the length of the row
        hidden[:, 40:] / np.linalg.norm(hidden[:, 40:], axis=1, keepdims=True),
        own / np.linalg.norm(own, axis=1, keepdims=True),
        atol=1e-5,
    )
    for features in ("mean", "mean+std"):
        both = (vae.set_params(features=features).transform(X) for vae in (beside, plain))
        np.testing.assert_array_equal(*both)


def test_filters_come_from_the_first_fit_alone():
    X = synthetic_images(30, 12, 10, dtype="uint8")
    vae = tiny(network=Patches(SMALL, n_filters=5, size=4), warm_start=True).fit(X)
    first = {name: w for name, w in weights(vae).items() if "source" in name}
    assert len(first) == 2
    vae.fit(255 - X)
    assert all(torch.equal(weights(vae)[name], w) for name, w in first.items())
    again = tiny(network=Patches(SMALL, n_filters=5, size=4)).fit(X)
    assert same_weights({name: weights(again)[name] for name in first}, first)


def test_the_network_beside_gets_its_examples_too():
    seen = []

    class Noting(Conv):
        def prepare(self, encoder, examples):
            seen.append(examples(1000))

    X = synthetic_images(30, 12, 10)
    tiny(network=Patches(Noting((4,)), n_filters=5, size=4)).fit(X)
    (examples,) = seen
    np.testing.assert_array_equal(examples[:, 0], X)


@pytest.mark.parametrize(
    "changes",
    [
        *({"n_filters": 0}, {"size": 1}, {"grid": 0}, {"grid": 5}),
        *({"n_filters": 2.5}, {"size": "6"}, {"grid": 1.5}),
        *({"network": "conv"}, {"network": Patches()}),
    ],
)
def test_what_is_none_is_refused(changes):
    with pytest.raises(ValueError, match=r"Patches\(.*give"):
        Patches(**changes)


def test_images_that_no_patch_fits_in_are_refused():
    with pytest.raises(ValueError, match=r"at least 9 pixels a side.*\(1, 8, 9\).*smaller size"):
        tiny(network=Patches(MLP((8,)), size=8)).fit(synthetic_images(20, 8, 9))


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="needs images"):
        tiny(network=Patches(MLP((8,)))).fit(synthetic_images(20, 30))
