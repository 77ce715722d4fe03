"""From raw batches to the network's input and back."""

import numpy as np
import pytest
import torch
from helpers import synthetic_images, tiny

from sklearn_vae.nn._scaling import Scaling


@pytest.mark.parametrize(
    ("shape", "raw_shape", "channels_last"),
    [
        ((1, 9, 13), (9, 13), False),
        ((1, 9, 13), (9, 13, 1), True),
        ((3, 9, 13), (9, 13, 3), True),
        ((3, 9, 13), (3, 9, 13), False),
        ((3, 9, 13), (351,), True),
        ((3, 9, 13), (351,), False),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_go_in_and_come_back(shape, raw_shape, channels_last, dtype):
    raw = synthetic_images(5, *raw_shape, dtype=dtype)
    maximum = 255.0 if dtype == "uint8" else 1.0
    scaling = Scaling(shape, raw_shape, channels_last=channels_last, maximum=maximum)
    x = scaling(torch.from_numpy(raw))
    c, h, w = shape
    expected = raw.astype(np.float64) / maximum
    if channels_last:
        expected = expected.reshape(5, h, w, c).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(x.numpy(), expected.reshape(5, *shape), rtol=1e-6)
    assert x.dtype == torch.float32
    np.testing.assert_allclose(scaling.inverse(x).numpy(), raw, rtol=1e-5, atol=1e-5)
    assert scaling.log_abs_det() == 0


def standardiser(X):
    X = X.astype(np.float64)
    loc, scale = torch.from_numpy(X.mean(0)), torch.from_numpy(X.std(0))
    return Scaling(X.shape[1:], X.shape[1:], loc=loc, scale=scale)


def test_vectors_are_standardised_and_come_back(rng):
    X = rng.normal([0, 5, -3], [1, 0.01, 300], (500, 3))
    scaling = standardiser(X)
    x = scaling(torch.from_numpy(X))
    np.testing.assert_allclose(x.mean(0).numpy(), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(0, correction=0).numpy(), 1, rtol=1e-4)
    np.testing.assert_allclose(scaling.inverse(x).numpy(), X, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("offset", [1e4, 1e6, 1e9])
def test_small_differences_survive_a_large_offset(rng, offset):
    X = rng.normal(size=(500, 3)) + offset
    scaling = standardiser(X)
    x = scaling(torch.from_numpy(X))
    np.testing.assert_allclose(x.numpy(), (X - X.mean(0)) / X.std(0), atol=1e-3)


def test_log_abs_det_is_that_of_the_jacobian(rng):
    scaling = standardiser(rng.normal([0, 5, -3], [1, 0.01, 300], (500, 3)))
    jacobian = torch.autograd.functional.jacobian(lambda row: scaling(row[None])[0], torch.zeros(3))
    expected = torch.linalg.slogdet(jacobian.double()).logabsdet.item()
    assert float(scaling.log_abs_det()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "view", [lambda p: p, lambda p: p.expand(4, 1, 3, 3), lambda p: p.flatten(1)]
)
def test_the_way_back_leaves_a_decoders_parameters_alone(view):
    scaling = Scaling((1, 3, 3), (3, 3), maximum=255.0)
    parameter = torch.nn.Parameter(torch.rand(1, 1, 3, 3))
    before = parameter.detach().clone()
    with torch.inference_mode():
        back = scaling.inverse(view(parameter))
        fresh = scaling.inverse(view(before) * 1)  # this one may be worked on in place
    assert torch.equal(parameter, before)
    torch.testing.assert_close(back, (255 * view(before)).reshape(-1, 3, 3))
    assert torch.equal(back, fresh)


@pytest.mark.parametrize(
    ("shape", "raw_shape", "channels_last"),
    [
        ((6,), (6,), False),
        ((1, 3, 2), (3, 2), False),
        ((3, 2, 2), (2, 2, 3), True),
        ((3, 2, 2), (3, 2, 2), False),
    ],
)
def test_the_networks_input_lies_in_memory_alike_whatever_the_arrays_order(
    shape, raw_shape, channels_last
):
    X = np.random.default_rng(0).random((5, *raw_shape), dtype=np.float32)
    loc = torch.zeros(shape, dtype=torch.float64) if len(shape) == 1 else None
    scale = None if loc is None else torch.ones_like(loc)
    scaling = Scaling(shape, raw_shape, channels_last=channels_last, loc=loc, scale=scale)
    rows, columns = (scaling(torch.from_numpy(order(X))) for order in (np.array, np.asfortranarray))
    assert torch.equal(rows, columns)
    assert rows.stride() == columns.stride()


@pytest.mark.parametrize("network", ["auto", "mlp"])
def test_what_float32_cannot_hold_becomes_a_large_number(rng, network):
    X = rng.normal(size=(50, 3))
    scaling = standardiser(X)
    x = scaling(torch.tensor([[1e300, -1e300, 0]], dtype=torch.float64))
    np.testing.assert_allclose(x[0, :2], [1e30, -1e30], rtol=1e-6)
    vae = tiny(network=network).fit(X)
    assert np.isfinite(vae.transform(np.full((2, 3), 1e300))).all()
    assert np.isfinite(vae.reconstruct(np.full((2, 3), 1e300))).all()
