"""partial_fit counts passes, not chunks, and tells chunks that come sorted."""

import pickle
import warnings

import numpy as np
import pytest
from helpers import synthetic_images, tiny

from sklearn_vae.training._passes import Passes

X = synthetic_images(300, 8, 8, dtype="uint8")
CHUNKS = np.array_split(X, 3)


def test_a_chunk_that_comes_again_begins_a_pass():
    vae, begun = tiny(), []
    for chunk in CHUNKS * 3:
        begun.append(vae.partial_fit(chunk).n_iter_)
        vae = pickle.loads(pickle.dumps(vae))
    assert begun == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len(vae.history_) == 9
    assert vae.n_samples_seen_ == 900
    assert vae.fit(X).n_iter_ == 2
    assert [vae.partial_fit(chunk).n_iter_ for chunk in CHUNKS * 2] == [3, 3, 3, 4, 4, 4]
    vae.set_params(warm_start=True)
    assert vae.fit(X).n_iter_ == 6


def test_rows_that_are_cut_anew_are_known_again():
    vae, rng, begun = tiny(), np.random.default_rng(0), []
    for _ in range(4):
        for chunk in np.array_split(X[rng.permutation(300)], 3):
            begun.append(vae.partial_fit(chunk).n_iter_)
    assert begun[-1] == 4
    assert begun[0] == begun[2] == 1


def test_the_kl_term_warms_up_over_passes():
    weights = []
    vae = tiny(kl_warmup=4)
    for chunk in CHUNKS * 5:
        vae.partial_fit(chunk)
        weights.append(vae.net_._kl_weight())
    np.testing.assert_array_equal(np.reshape(weights, (5, 3)).T, [[0.25, 0.5, 0.75, 1, 1]] * 3)


def test_a_chunk_that_fails_is_not_counted():
    vae = tiny().partial_fit(CHUNKS[0])
    before = vae._passes
    with pytest.raises(ValueError, match="shape"):
        vae.partial_fit(X[:, :4])
    assert vae._passes is before


def sorted_chunks(by):
    """Return chunks of grey images that are sorted by their light, or mixed, and their classes."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 60)
    images = (20 * y[:, None, None] + rng.integers(0, 50, (600, 8, 8))).astype(np.uint8)
    order = np.arange(600) if by else rng.permutation(600)
    return list(zip(np.array_split(images[order], 10), np.array_split(y[order], 10), strict=True))


@pytest.mark.parametrize("with_labels", [True, False])
def test_chunks_that_are_sorted_bring_one_warning(with_labels):
    vae = tiny(lr=1e-2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for epoch in range(4):
            chunks = sorted_chunks(by=True)[:: -1 if epoch % 2 else 1]
            for chunk, y in chunks[::3] + chunks[1::3] + chunks[2::3]:
                vae.partial_fit(chunk, y if with_labels else None)
    (warning,) = caught
    assert warning.filename == __file__
    why = "labels of one are not" if with_labels else "loss is far higher"
    assert why in str(warning.message)
    assert "shuffle_chunks" in str(warning.message)


@pytest.mark.parametrize("labels", [True, False])
def test_chunks_that_are_mixed_bring_none(labels):
    vae = tiny(lr=1e-2)
    for _ in range(3):
        for chunk, y in sorted_chunks(by=False):
            vae.partial_fit(chunk, y if labels else None)
    assert vae._passes.jumps == 0


@pytest.mark.parametrize(
    "y",
    [
        None,
        "text",
        [1, 2],
        np.arange(60),
        np.linspace(0, 1, 60),
        np.full(60, -1),
        [None] * 60,
        [[1], [2, 3]] * 30,
    ],
)
def test_what_are_no_labels_says_nothing(y):
    passes = Passes(labels=((0, 60),))
    assert passes._labelled(y, 60) == (passes, False)
