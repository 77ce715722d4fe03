"""Arrays that are stored elsewhere: read in order, shuffled by chunk, the rows as in memory."""

import numpy as np
import pytest
import torch
from helpers import found_by, guide_blocks, same_weights, synthetic_images, tiny

from sklearn_vae import VAEDetector
from sklearn_vae.input import _stored
from sklearn_vae.input._batches import Batches
from sklearn_vae.input._rows import Part
from sklearn_vae.input._stored import StoredDataset, is_stored


class Stored:
    """What h5py and zarr have in common; counts the rows that are read."""

    def __init__(self, X, chunks=(10,)):
        self.X, self.chunks, self.slices = X, chunks, []
        self.shape, self.dtype = X.shape, X.dtype

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.slices.append((rows.start or 0, rows.stop))
        return self.X[rows]

    def __array__(self, *args, **kwargs):
        raise AssertionError("read as a whole")

    @property
    def n_read(self):
        return sum(stop - start for start, stop in self.slices)


X = synthetic_images(300, 8, 8, dtype="uint8")


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 100 images, in slices of 50."""
    monkeypatch.setattr(_stored, "BLOCK", 100 * 64)
    monkeypatch.setattr(_stored, "CHUNKS", 1)
    monkeypatch.setattr(_stored, "PIECE", 50 * 64)


@pytest.mark.parametrize(
    "chunks", [(10,), (64, 8, 8), (300,), (1,), None, ((100, 1, 199), (8,), (8,))]
)
def test_rows_come_in_the_order_that_was_asked_for(chunks, small_blocks):
    data = StoredDataset(Stored(X, chunks))
    index = torch.randint(300, (500,), generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(data.take(index).numpy(), X[index.numpy()])
    np.testing.assert_array_equal(data.rows(7, 250).numpy(), X[7:250])
    through = [*data.read_through(37)]
    assert [len(x) for x in through] == [37] * 8 + [4]
    np.testing.assert_array_equal(torch.cat(through).numpy(), X)
    np.testing.assert_array_equal(data.sample(100).numpy(), X[::3])


@pytest.mark.parametrize("chunks", [(50,), ((40, 60, 200),)])
def test_an_epoch_reads_each_row_once_and_mixes_a_block_of_chunks(chunks, small_blocks):
    stored = Stored(np.arange(300, dtype=np.uint8).repeat(64).reshape(X.shape), (50,))
    batches = Batches(StoredDataset(stored), 20, shuffle=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        epochs = [torch.cat([b.x[:, 0, 0].long() for b in batches]) for _ in range(2)]
    assert stored.n_read == 600
    for seen in epochs:
        expected = np.bincount(stored.X[:, 0, 0], minlength=256)
        np.testing.assert_array_equal(np.bincount(seen, minlength=256), expected)
        blocks = [{int(row) % 256 // 50 for row in block} for block in seen.split(100)]
        assert all(len(chunks) >= 2 for chunks in blocks)
    assert not torch.equal(*epochs)


def test_a_slice_takes_neighbouring_chunks_and_is_not_large(small_blocks):
    stored = Stored(X, (32,))
    data = StoredDataset(stored)
    data.take(torch.arange(5, 300))
    assert all(stop - start <= 64 for start, stop in stored.slices)
    assert len(stored.slices) < 10
    stored.slices.clear()
    data.take(torch.tensor([290, 3, 4, 291]))
    assert stored.slices == [(3, 5), (290, 292)]


def test_classes_follow_their_rows_through_a_validation_split():
    data = StoredDataset(Stored(np.arange(200.0).repeat(64).reshape(200, 8, 8), (7,)))
    data.classes = torch.arange(200)
    rows = np.random.default_rng(0).permutation(200)[:150]
    for batch in Batches(torch.utils.data.Subset(data, rows), 16, shuffle=True):
        assert torch.equal(batch.x[:, 0, 0].long(), batch.y)


def test_a_part_reads_its_own_rows():
    part = Part(StoredDataset(Stored(X)), torch.tensor([9, 3, 250]))
    np.testing.assert_array_equal(part.take(torch.tensor([2, 0])).numpy(), X[[250, 9]])
    np.testing.assert_array_equal(torch.cat([*part.read_through(2)]).numpy(), X[[9, 3, 250]])


@pytest.mark.parametrize("split", [None, 0.2])
def test_fit_and_transform_read_a_part_at_a_time(split, small_blocks):
    stored = Stored(X)
    vae = tiny(validation_fraction=split).fit(stored, np.arange(300) % 3)
    loss = tiny(validation_fraction=split).fit(X).history_[-1]["train_loss"]
    assert vae.history_[-1]["train_loss"] == pytest.approx(loss, rel=0.3)
    np.testing.assert_array_equal(vae.transform(stored), vae.transform(X))
    np.testing.assert_array_equal(vae.score_samples(stored), vae.score_samples(X))
    np.testing.assert_array_equal(vae.reconstruct(stored), vae.reconstruct(X))
    assert max(stop - start for start, stop in stored.slices) <= 80
    vae.partial_fit(stored)


def test_rows_of_a_stored_table_are_standardised():
    rows = np.random.default_rng(0).normal(5, 3, (200, 6))
    vae = tiny().fit(Stored(rows, (16, 3)))
    np.testing.assert_allclose(vae.module_.scaling.loc, rows.mean(0), rtol=1e-5)
    assert vae.n_features_in_ == 6


def test_a_detector_takes_them():
    detector = VAEDetector(tiny(), method="reconstruction").fit(Stored(X))
    np.testing.assert_allclose(detector.score_samples(Stored(X)), detector.score_samples(X))


def test_arrays_of_the_libraries(tmp_path):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    array = pytest.importorskip("dask.array")
    kept = zarr.open(tmp_path / "X.zarr", mode="w", shape=X.shape, chunks=(40, 8, 8), dtype="u1")
    kept[:] = X
    with h5py.File(tmp_path / "X.h5", "w") as file:
        chunked = file.create_dataset("chunked", data=X, chunks=(40, 8, 8))
        plain = file.create_dataset("plain", data=X)
        vae = tiny().fit(chunked)
        for stored in (
            chunked,
            plain,
            kept,
            array.from_array(kept),
            array.from_array(X, (90, 8, 8)),
        ):
            assert is_stored(stored)
            np.testing.assert_array_equal(vae.transform(stored), vae.transform(X))
    for stored in (kept, array.from_array(kept, (40, 8, 8))):
        assert same_weights(tiny().fit(stored), vae)


LATE = X.astype(np.float32) / 255
REFUSED = {
    "one row": (Stored(X[:1]), "1 sample.*2 are needed"),
    "one axis": (Stored(np.arange(9.0)), "1D array"),
    "text": (Stored(np.array([["a"], ["b"]])), "text|string"),
    "complex": (Stored(np.zeros((9, 3), complex)), "Complex"),
    "another range": (
        Stored(X.astype(np.float32)),
        r"Divide by 255: dask\.array\.from_array\(X\) / 255",
    ),
    "levels of another type": (Stored(X.astype(np.int16)), r"from_array\(X\)\.astype\(np\.uint8\)"),
    "NaN late": (
        Stored(np.where(np.arange(300)[:, None, None] == 200, np.nan, LATE)),
        "rows with NaN",
    ),
    "range late": (
        Stored(np.where(np.arange(300)[:, None, None] == 200, 2, LATE)),
        r"\[0, 1\] is needed",
    ),
    "levels after masks": (
        Stored(np.where(np.arange(300)[:, None, None] < 200, X // 255, X).astype(np.uint8)),
        "rows with values up to 2.*masks",
    ),
}


@pytest.mark.filterwarnings("ignore:The largest value")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_on_is_refused(name):
    stored, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        tiny().fit(stored)


def test_an_unknown_number_of_rows_is_refused():
    array = pytest.importorskip("dask.array")
    unknown = array.from_array(X, 50)
    unknown = unknown[unknown.mean((1, 2)) > 0]
    with pytest.raises(ValueError, match=r"unknown number of rows.*compute_chunk_sizes\(\)"):
        tiny().fit(unknown)


def test_a_cache_of_trainings_refuses_what_it_cannot_tell_apart(tmp_path):
    with pytest.raises(ValueError, match=r"memory.*stored elsewhere.*memory=None"):
        tiny(memory=str(tmp_path)).fit(Stored(X))


def test_an_array_of_a_closed_file_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "X.h5", "w") as file:
        file["X"] = X
        stored = file["X"]
        vae = tiny().fit(stored)
    for call in (tiny().fit, vae.transform, VAEDetector(tiny()).fit):
        with pytest.raises(ValueError, match=r"closed HDF5 file.*with h5py\.File\(path\)"):
            call(stored)


WRITTEN = """
import h5py

with h5py.File("images.h5", "w") as file:
    file["images"] = (X * 255).astype(np.uint8)
"""
READ_AGAIN = """
import json

with h5py.File("images.h5") as file:
    expected = joblib.load("vae.joblib").transform(file["images"])
print("found", json.dumps(bool((np.load("features.npy") == expected).all())))
"""


def test_the_guides_code_from_file_to_features(tmp_path):
    pytest.importorskip("h5py")
    (code,) = guide_blocks("images.md", "From a file, start to end", ["h5py"]).values()
    assert found_by(tmp_path, WRITTEN, code, READ_AGAIN)
