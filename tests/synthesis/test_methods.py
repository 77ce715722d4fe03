"""Draws against the distributions that they are said to come from."""

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_vae.synthesis import (
    METHODS,
    Conditional,
    Deformation,
    Density,
    Interpolation,
    PosteriorSampling,
)


@pytest.fixture
def posteriors(rng):
    """Means and standard deviations of 60 rows in three dimensions."""
    return rng.normal(size=(60, 3)), rng.uniform(0.1, 0.5, (60, 3))


ROWS, NONE = np.arange(7, 27), np.arange(0)


@pytest.mark.parametrize("name", METHODS)
def test_draws_are_a_function_of_the_generator(name, posteriors):
    if name == "deformation":  # to five neighbours each
        posteriors = [np.repeat(part[:, None], 5, 1) for part in posteriors]
    method = METHODS[name]().fit(*posteriors, ROWS, NONE)
    first, again, more = (
        method.draw(n, np.random.RandomState(seed)) for n, seed in ((9, 0), (9, 0), (9, 1))
    )
    np.testing.assert_array_equal(first.Z, again.Z)
    np.testing.assert_array_equal(first.source, again.source)
    assert first.Z.shape[0] == len(first.source) == 9
    assert not np.array_equal(np.c_[first.Z, first.source], np.c_[more.Z, more.source])
    empty = method.draw(0, np.random.RandomState(0))
    assert empty.Z.shape[0] == len(empty.source) == 0
    clone(method)


def test_deformations_are_draws_from_the_posteriors_of_the_class(rng):
    mean, std = rng.normal(size=(60, 5, 3)), np.full((60, 5, 3), 1e-6)
    draws = Deformation(spread=2.0).fit(mean, std, ROWS, NONE).draw(4000, np.random.RandomState(0))
    pairs = 2 * mean[ROWS].reshape(-1, 3)
    distance = np.abs(draws.Z[:, None] - pairs).max(2)
    assert (distance.min(1) < 1e-4).all()
    counts = np.bincount(distance.argmin(1), minlength=100)
    assert counts.min() > 15  # 40 expected
    parents, each = np.unique(draws.source, return_counts=True)
    np.testing.assert_array_equal(parents, ROWS)
    assert (each == 200).all()
    same = mean[draws.source].reshape(4000, 5, 3) * 2
    own = (np.abs(draws.Z[:, None] - same).max(2).min(1) < 1e-4).mean()
    assert own < 0.1  # of other rows' pairs, not of the row's own


@pytest.mark.parametrize("name", ["posterior", "interpolation", "bootstrap"])
def test_every_row_is_used_as_often_as_any_other(name, posteriors):
    method = METHODS[name]().fit(*posteriors, ROWS, NONE)
    draws = method.draw(2 * len(ROWS), np.random.RandomState(0))
    rows, counts = np.unique(draws.parents[:, 0], return_counts=True)
    np.testing.assert_array_equal(rows, ROWS)
    assert (counts == 2).all()


@pytest.mark.parametrize("method", [PosteriorSampling(spread=0.5), Conditional(spread=0.5)])
def test_posterior_draws_have_its_moments(method, posteriors):
    mean, std = posteriors
    method.fit(mean, std, ROWS[:1], NONE)
    Z = method.draw(20_000, np.random.RandomState(0)).Z
    np.testing.assert_allclose(Z.mean(0), mean[ROWS[0]], atol=0.01)
    np.testing.assert_allclose(Z.std(0), 0.5 * std[ROWS[0]], rtol=0.03)


def test_interpolation_takes_only_near_neighbours(rng):
    """Two far clusters in one class: no code lies between them."""
    mean = np.r_[rng.normal(-50, 1, (30, 3)), rng.normal(50, 1, (30, 3))]
    method = Interpolation(n_neighbors=5).fit(mean, np.ones_like(mean), np.arange(60), NONE)
    draws = method.draw(500, np.random.RandomState(0))
    assert (np.abs(draws.Z) > 40).all()
    assert (draws.parents[:, 0] != draws.parents[:, 1]).all()
    np.testing.assert_allclose(draws.weights.sum(1), 1)


def test_interpolation_reaches_unlabelled_neighbours(rng):
    """One labelled row amid unlabelled ones; others are far away."""
    mean = np.r_[rng.normal(0, 1, (20, 3)), rng.normal(50, 1, (20, 3))]
    unlabelled = np.arange(2, 40)
    method = Interpolation(n_neighbors=10, unlabelled=True)
    method.fit(mean, np.ones_like(mean), np.array([0, 1]), unlabelled)
    draws = method.draw(300, np.random.RandomState(0))
    assert set(draws.parents[:, 0]) == {0, 1}
    near = set(draws.parents[:, 1])
    assert len(near) >= 10
    assert near <= set(range(20))
    assert (np.abs(draws.Z) < 10).all()
    plain = Interpolation().fit(mean, np.ones_like(mean), np.array([0, 1]), unlabelled)
    assert set(plain.draw(300, np.random.RandomState(0)).parents[:, 1]) == {0, 1}


def test_equal_rows_are_neighbours_of_each_other():
    mean = np.zeros((8, 3))
    method = Interpolation(n_neighbors=3).fit(mean, mean, np.arange(8), NONE)
    assert method.neighbors_.shape == (8, 3)
    assert (method.neighbors_ != np.arange(8)[:, None]).all()


def test_density_follows_a_mixture(rng):
    """Half of the class at -10, half at +10: draws are there, in equal shares, and nowhere else."""
    mean = np.r_[rng.normal(-10, 0.5, (400, 2)), rng.normal(10, 0.5, (400, 2))]
    method = Density().fit(mean, np.ones_like(mean), np.arange(800), NONE)
    Z = method.draw(2000, np.random.RandomState(0)).Z
    assert (np.abs(np.abs(Z) - 10) < 3).all()
    assert abs((Z[:, 0] > 0).mean() - 0.5) < 0.05
    np.testing.assert_allclose(Z[Z[:, 0] > 0].std(0), 0.5, rtol=0.15)
    assert method.mixture_.covariance_type == "full"
    small = Density().fit(mean, np.ones_like(mean), np.arange(3), NONE)
    assert small.mixture_.covariance_type == "diag"
    assert small.mixture_.n_components == 1
