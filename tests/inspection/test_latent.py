"""LatentDisplay: the latent means or their principal components, coloured by class or value."""

import numpy as np
import pytest
from helpers import tiny
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_vae.inspection import LatentDisplay


def test_more_than_two_dimensions_are_projected_on_principal_components(fitted, images):
    display = LatentDisplay.from_estimator(fitted, images)
    Z = fitted.transform(images)
    centred = (Z - Z.mean(0)).astype(np.float64)
    variances, vectors = np.linalg.eigh(centred.T @ centred / (len(Z) - 1))
    expected = centred @ vectors[:, [-1, -2]]
    drawn = display.scatter_.get_offsets()
    assert_allclose(np.abs(drawn), np.abs(expected), atol=1e-4)
    shares = variances[[-1, -2]] / variances.sum()
    assert_allclose(display.explained_variance_ratio_, shares, rtol=1e-4)
    assert display.ax_.get_xlabel() == f"component 1 ({shares[0]:.0%} of variance)"
    assert display.ax_.get_ylabel() == f"component 2 ({shares[1]:.0%} of variance)"
    assert display.colorbar_ is None


def test_two_dimensions_are_drawn_as_they_are(images):
    vae = tiny(z_dim=2).fit(images)
    display = LatentDisplay.from_estimator(vae, images)
    assert_array_equal(display.scatter_.get_offsets(), vae.transform(images))
    assert display.explained_variance_ratio_ is None
    assert display.ax_.get_xlabel() == "$z_0$"


def test_the_latent_mean_is_drawn_whatever_transform_returns(images, fitted):
    hidden = tiny(features="hidden").fit(images)
    display = LatentDisplay.from_estimator(hidden, images)
    assert_array_equal(display.codes, fitted.transform(images))


def test_each_class_has_its_colour_and_its_name(fitted, images, labels):
    names = np.array([f"digit {k}" for k in labels])
    display = LatentDisplay.from_estimator(fitted, images, names)
    assert_array_equal(display.scatter_.get_array(), labels)
    named = [t.get_text() for t in display.colorbar_.ax.get_yticklabels()]
    assert named == [f"digit {k}" for k in range(10)]
    display.figure_.canvas.draw()
    colours = display.scatter_.get_facecolors()
    shown = {k: {tuple(c) for c in colours[labels == k]} for k in range(10)}
    assert all(len(of_class) == 1 for of_class in shown.values())
    assert len(set.union(*shown.values())) == 10
    for k in range(10):
        assert shown[k] == {tuple(display.colorbar_.cmap(display.colorbar_.norm(k)))}


@pytest.mark.parametrize("n_classes", [1, 2, 15, 30])
def test_any_number_of_names(rng, n_classes):
    y = np.array([f"c{i % n_classes:02}" for i in range(60)])
    display = LatentDisplay.from_arrays(rng.normal(size=(60, 5)), y)
    display.figure_.canvas.draw()
    assert len(np.unique(display.scatter_.get_facecolors(), axis=0)) == n_classes
    assert len(display.colorbar_.ax.get_yticklabels()) == n_classes


@pytest.mark.parametrize("y", [np.linspace(0, 1, 60), np.arange(60)], ids=["fractions", "many"])
def test_values_have_a_scale(rng, y):
    display = LatentDisplay.from_arrays(rng.normal(size=(60, 5)), y)
    assert_array_equal(display.scatter_.get_array(), y)
    assert display.scatter_.get_clim() == (y.min(), y.max())


@pytest.mark.parametrize("shared", [False, True])
def test_distances_are_the_same_in_both_directions(rng, shared):
    axes = plt.subplots(1, 2, sharex=shared, sharey=shared)[1]
    for ax, height in zip(axes, (0.01, 3), strict=True):
        LatentDisplay.from_arrays(rng.normal(size=(60, 2)) * [1, height], ax=ax)
    axes[0].figure.canvas.draw()
    for ax in axes:
        width, height = np.diff(ax.transData.transform([(0, 0), (1, 1)]), axis=0)[0]
        assert width == pytest.approx(height)
        drawn = ax.get_window_extent()
        assert drawn.width > 20
        assert drawn.height > 20


def test_keywords_reach_the_scatter(rng):
    display = LatentDisplay.from_arrays(rng.normal(size=(60, 5)), s=7, alpha=0.5, color="red")
    assert_array_equal(display.scatter_.get_sizes(), [7])
    assert display.scatter_.get_alpha() == 0.5


def test_refusals(fitted, images, labels, rng):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatentDisplay.from_estimator(fitted, images, labels[:5])
    with pytest.raises(ValueError, match=r"one dimension.*histogram"):
        LatentDisplay.from_arrays(rng.normal(size=(60, 1)))
    with pytest.raises(ValueError, match="1 sample"):
        LatentDisplay.from_arrays(rng.normal(size=(1, 4)))
