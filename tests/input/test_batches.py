"""Batch-level loading: every row once, unchanged, wherever the rows come from."""

import numpy as np
import pytest
import torch
from helpers import same_weights, synthetic_images, tiny
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from sklearn_vae.input._batches import Batches, batch_bounds
from sklearn_vae.input._rows import ArrayDataset, ItemDataset, to_tensor


def test_bounds_cover_every_row_once_and_never_leave_one_row_over():
    for n in range(1, 60):
        for batch_size in (1, 2, 3, 7, 16, 100):
            bounds = batch_bounds(n, batch_size)
            covered = [i for start, stop in bounds for i in range(start, stop)]
            assert covered == list(range(n))
            sizes = [stop - start for start, stop in bounds]
            assert max(sizes) <= batch_size + 1
            assert sizes[-1] > 1 or n == 1
            assert all(size == batch_size for size in sizes[:-1])


@pytest.mark.parametrize("n", [2, 17, 64, 65])
@pytest.mark.parametrize("batch_size", [1, 16, 64])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_shows_every_row_once(n, batch_size, shuffle):
    batches = Batches(ArrayDataset(np.arange(n)[:, None] * 1.0), batch_size, shuffle=shuffle)
    seen = [batch.x.flatten() for batch in batches]
    assert len(seen) == len(batches)
    seen = torch.cat(seen).numpy()
    np.testing.assert_array_equal(np.sort(seen) if shuffle else seen, np.arange(n))


def test_every_epoch_has_an_order_of_its_own():
    batches = Batches(ArrayDataset(np.arange(100.0)[:, None]), 100, shuffle=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = next(iter(batches)).x, next(iter(batches)).x
    assert not torch.equal(first, second)
    assert not torch.equal(first.flatten(), torch.arange(100.0, dtype=torch.float64))


def test_a_subset_shows_its_own_rows_in_order():
    rows = [9, 3, 3, 7]
    batches = Batches(Subset(ArrayDataset(np.arange(20.0)[:, None]), rows), 3)
    assert torch.cat([batch.x for batch in batches]).flatten().tolist() == rows


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", "float32", "float64"])
def test_rows_keep_their_dtype_and_values(dtype):
    X = synthetic_images(10, 8, 8, dtype=dtype)
    batch = next(iter(Batches(ArrayDataset(X), 10)))[0]
    assert batch.numpy().dtype == X.dtype
    np.testing.assert_array_equal(batch.numpy(), X)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", ">f4"])
def test_memory_mapped_rows_come_through_unchanged(tmp_path, mode, dtype):
    kind = "uint8" if dtype == "uint8" else "float32"
    X = synthetic_images(30, 8, 8, dtype=kind).astype(dtype)
    X.tofile(tmp_path / "X")
    data = ArrayDataset(np.memmap(tmp_path / "X", dtype, mode, shape=X.shape))
    assert data.tensor is None  # it stays on disk
    index = torch.tensor([4, 29, 0])
    np.testing.assert_array_equal(data.take(index).numpy(), X[index.numpy()])
    np.testing.assert_array_equal(data.rows(3, 9).numpy(), X[3:9])
    np.testing.assert_array_equal(
        np.concatenate([batch.x.numpy() for batch in Batches(data, 8)]), X
    )


ODD = {
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "fortran": np.asfortranarray,
    "negative strides": lambda X: X[::-1, :, ::-1][::-1, :, ::-1],
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "broadcast": lambda X: np.broadcast_to(X[:1], X.shape),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
def test_arrays_of_any_memory_order(name, dtype):
    X = ODD[name](synthetic_images(10, 8, 9, dtype=dtype))
    before = X.copy()
    data = ArrayDataset(X)
    index = torch.tensor([3, 0])
    np.testing.assert_array_equal(data.take(index).numpy(), before[[3, 0]])
    np.testing.assert_array_equal(data.rows(2, 5).numpy(), before[2:5])
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [("int16", torch.float32), ("int32", torch.float64), (np.longdouble, torch.float64)],
)
def test_numbers_of_vectors_become_a_float_that_holds_them(dtype, becomes):
    X = np.array([[3, np.iinfo("int16").max], [4, 5]], dtype)
    if np.dtype(dtype).itemsize > 2:
        X[0, 1] = 2**24 + 1  # beyond what float32 tells apart
    assert to_tensor(X).dtype == becomes
    np.testing.assert_array_equal(to_tensor(X).numpy(), X)


def test_writeable_arrays_share_their_memory():
    X = synthetic_images(10, 8, 8, dtype="uint8")
    assert ArrayDataset(X).tensor.data_ptr() == X.ctypes.data


class Items(Dataset):
    """Items as given, one by one."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class ManyItems(Items):
    """With torch's optional fetching by the batch."""

    def __getitems__(self, index):
        return [self.items[i] for i in index]


@pytest.mark.parametrize("kind", [Items, ManyItems])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x, 3), lambda x: [x, 3]])
def test_items_of_a_dataset_are_stacked(kind, wrap):
    X = torch.arange(24.0).reshape(6, 4)
    data = ItemDataset(kind([wrap(x) for x in X]))
    assert torch.equal(data.take(torch.tensor([5, 0])), X[[5, 0]])
    assert torch.equal(data.rows(2, 4), X[2:4])
    assert torch.equal(torch.cat([batch.x for batch in Batches(data, 4)]), X)


def test_tensor_dataset_with_labels():
    X = torch.arange(24.0).reshape(6, 4)
    data = ItemDataset(TensorDataset(X, torch.arange(6)))
    assert torch.equal(data.take(torch.tensor([1, 4])), X[[1, 4]])


BAD_ITEMS = {
    "of Pillow": (Image.new("L", (8, 8)), TypeError, "Image; tensors.*ToImage"),
    "dict": ({"image": torch.zeros(8, 8)}, TypeError, r"dict with the keys \['image'\].*Wrap it"),
    "dict and label": (({"pixels": 1}, 3), TypeError, r"dict with the keys \['pixels'\]"),
    "path": (("a.png", 3), TypeError, r"str; .*ImageReader\(size=32\)\.fit_transform\(paths\)"),
    "None": (None, TypeError, "NoneType"),
    "text": (np.array(["a"]), TypeError, "ndarray of dtype <U1"),
}


@pytest.mark.parametrize("kind", [Items, ManyItems])
@pytest.mark.parametrize("name", BAD_ITEMS)
def test_items_that_are_no_images_are_refused_with_the_remedy(kind, name):
    item, error, message = BAD_ITEMS[name]
    with pytest.raises(error, match=message):
        ItemDataset(kind([item] * 3)).take(torch.tensor([0, 1]))


@pytest.mark.parametrize("kind", [Items, ManyItems])
@pytest.mark.parametrize("dtype", ["uint8", ">f4", "float64", "bool"])
def test_items_that_are_arrays_are_taken_as_they_are(kind, dtype):
    X = (np.arange(24).reshape(3, 2, 4) % 5).astype(dtype)
    X.setflags(write=False)
    x = ItemDataset(kind([X[0], (X[1], 3), [X[2][::-1], 4]])).take(torch.tensor([0, 1, 2]))
    np.testing.assert_array_equal(x, np.stack([X[0], X[1], X[2][::-1]]))
    assert x.numpy().dtype == np.dtype(dtype).newbyteorder("=")


def test_items_of_several_sizes_are_refused_with_the_remedy():
    data = ItemDataset(Items([torch.zeros(8, 8), torch.zeros(8, 9)]))
    with pytest.raises(ValueError, match=r"sizes: \(8, 8\), \(8, 9\).*Resize\(\(height, width\)\)"):
        data.rows(0, 2)


def test_a_stream_with_a_length_is_refused():
    class Stream(IterableDataset):
        def __len__(self):
            return 3

        def __iter__(self):
            return iter(torch.zeros(3, 8, 8))

    with pytest.raises(TypeError, match=r"Stream is a stream.*map-style Dataset.*np\.stack"):
        ItemDataset(Stream())


def test_levels_far_into_a_dataset_that_began_with_masks_are_refused():
    X = torch.zeros(100, 8, 8, dtype=torch.uint8)
    X[:80:2] = 1
    X[80:] = 200
    with (
        pytest.warns(UserWarning, match=r"masks.*x\.to\(torch\.bool\), or x \* 255"),
        pytest.raises(ValueError, match=r"up to 200, but the first were masks"),
    ):
        tiny().fit(TensorDataset(X))


@pytest.mark.parametrize("workers", [0, 1])
def test_later_items_of_another_dtype_are_refused(workers):
    levels = np.random.default_rng(0).integers(256, size=(80, 8, 8), dtype=np.uint8)
    data = Items([*levels, *np.float32(levels / 255)])
    other = r"\(8, 8\) and torch.uint8, and others of \(8, 8\) and torch.float32"
    with pytest.raises(ValueError, match=other):
        tiny(loader_workers=workers, network="mlp").fit(data)


def test_integers_that_float32_would_round_keep_their_digits_in_a_dataset():
    X = np.random.default_rng(0).integers(0, 100_000, (200, 3)) + 1_700_000_000_000
    vae = tiny().fit(X)
    of_items = TensorDataset(torch.from_numpy(X))
    assert len(np.unique(vae.transform(X), axis=0)) == 200
    np.testing.assert_array_equal(vae.transform(of_items), vae.transform(X))
    np.testing.assert_array_equal(vae.score_samples(of_items), vae.score_samples(X))
    assert same_weights(tiny().fit(of_items), vae)
