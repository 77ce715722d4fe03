"""The scripts in ``benchmarks/`` can be imported, and compare what they say they compare."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP, Conv

HERE = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts_are_found(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


@pytest.mark.parametrize("name", sorted(path.stem for path in HERE.glob("*.py")))
def test_a_script_can_be_imported(name):
    importlib.import_module(name)


def test_the_roofline_counts_the_products_of_a_step():
    roofline, peers = (importlib.import_module(name) for name in ("_roofline", "_peers"))
    X = np.zeros((20, 64), np.uint8)
    products = 64 * 8 + 2 * 8 * 3 + 3 * 8 + 8 * 64
    expected = 2 * (3 * products - 64 * 8)  # no gradient of the images
    assert roofline.operations_per_image(peers.Recipe(MLP((8,)), 3, 10), X) == expected


@pytest.mark.parametrize(("network", "shape"), [(MLP((8,)), (64,)), (Conv((4, 8)), (8, 8, 3))])
def test_raw_loops_compute_what_the_estimator_does(network, shape):
    speed = importlib.import_module("speed")
    X = speed.images(50, *shape)
    how = {"network": network, "likelihood": "bernoulli", "max_epochs": 2, "random_state": 0}
    vae = VAETransformer(3, device="cpu", **how).fit(X)
    Z = vae.transform(X)
    np.testing.assert_allclose(speed.raw_encode(vae, X, 16), Z, rtol=1e-4, atol=1e-5)
    decoded = speed.raw_decode(vae, Z, 16).astype(int)
    np.testing.assert_allclose(decoded, vae.inverse_transform(Z), atol=1)  # truncated, rounded
    assert speed.raw_sample(vae, 5, 2).shape == (5, *shape)


def test_tables_are_what_the_files_give():
    report = importlib.import_module("report")
    page = report.PAGE.read_text("utf-8")
    assert set(report.TABLES) == {name for _, name, _ in report.TABLE.findall(page)}
    assert report.written(page) == page
