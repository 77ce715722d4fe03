"""fetch_images, on files that the tests write in each format that a data home holds."""

import gzip
import hashlib
import http.server
import io
import os
import pickle
import threading
import zipfile
from functools import partial

import numpy as np
import pytest
from helpers import budget, mutate
from numpy.testing import assert_array_equal
from scipy.io import savemat
from sklearn.datasets import load_digits
from torchvision import datasets

from sklearn_vae.datasets import fetch_images

N = {"train": 20, "val": 5, "test": 10}


def images(part, shape):
    """Return the same random images and labels 0 to 9 for the same part and shape."""
    rng = np.random.default_rng([N[part], *shape])
    labels = rng.permutation(np.arange(N[part]) % 10)
    return rng.integers(0, 256, (N[part], *shape), dtype=np.uint8), labels


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


# -- NAME.npz --------------------------------------------------------------------------------------


@pytest.fixture
def npz_home(tmp_path):
    arrays = {}
    for part in N:
        arrays[f"X_{part}"], arrays[f"y_{part}"] = images(part, (9, 8))
    np.savez(tmp_path / "full.npz", **arrays, classes=[f"class {k}" for k in range(10)])
    small = {key: value for key, value in arrays.items() if not key.endswith("val")}
    np.savez_compressed(tmp_path / "small.npz", **small)
    return tmp_path


@pytest.mark.parametrize("subset", list(N))
def test_npz(npz_home, subset):
    bunch = fetch_images("full", subset=subset, data_home=npz_home)
    X, y = images(subset, (9, 8))
    assert_array_equal(bunch.data, X, strict=True)
    assert_array_equal(bunch.target, y.astype(np.int64), strict=True)
    assert_array_equal(bunch.target_names, [f"class {k}" for k in range(10)])
    assert f"{N[subset]} images of 9 x 8, 10 classes" in bunch.DESCR


def test_all_is_the_parts_one_after_the_other(npz_home):
    X, y = fetch_images("full", subset="all", data_home=npz_home, return_X_y=True)
    parts = [
        fetch_images("full", subset=part, data_home=npz_home, return_X_y=True)
        for part in ("train", "val", "test")
    ]
    assert_array_equal(X, np.concatenate([part[0] for part in parts]), strict=True)
    assert_array_equal(y, np.concatenate([part[1] for part in parts]), strict=True)


def test_npz_without_names_or_validation_part(npz_home):
    bunch = fetch_images("small", subset="all", data_home=npz_home)
    assert len(bunch.data) == N["train"] + N["test"]
    assert_array_equal(bunch.target_names, [str(k) for k in range(10)])
    with pytest.raises(ValueError, match="'small' has no 'val' part"):
        fetch_images("small", subset="val", data_home=npz_home)


def test_npz_goes_before_a_download(tmp_path, npz_home):
    os.rename(npz_home / "full.npz", tmp_path / "kmnist.npz")
    X, _ = fetch_images("kmnist", data_home=tmp_path, download_if_missing=False, return_X_y=True)
    assert X.shape == (N["train"], 9, 8)


def test_npz_that_lacks_arrays(tmp_path):
    np.savez(tmp_path / "half.npz", X_train=images("train", (8, 8))[0])
    with pytest.raises(ValueError, match=r"lacks \['X_test', 'y_test', 'y_train'\]"):
        fetch_images("half", data_home=tmp_path)


GOOD = {"X_train": np.zeros((4, 8, 8), np.uint8), "y_train": np.array([0, 1, 0, 1])}
GOOD |= {"X_test": GOOD["X_train"], "y_test": GOOD["y_train"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.zeros(3, int)}, r"4 images with labels of shape \(3,\)"),
        ({"y_test": np.array([0.0, 1, 0, 1])}, "y_test is float64; labels are integers"),
        ({"y_test": np.array(list("abab"))}, "labels are integers"),
        ({"y_test": np.array([0, -1, 0, 1])}, "integers from 0"),
        ({"y_train": np.zeros((4, 2), int)}, r"4 images with labels of shape \(4, 2\)"),
        ({"y_train": np.array(1)}, r"4 images with labels of shape \(\)"),
        ({"X_train": np.array(3)}, r"X_train is int64 of shape \(\); images are numbers"),
        ({"X_train": np.full((4, 8, 8), "a")}, "X_train is <U1 of shape .* images are numbers"),
        (
            {"X_test": np.zeros((4, 9, 9))},
            r"parts differ: .*uint8 of \(8, 8\).*float64 of \(9, 9\)",
        ),
        ({"classes": np.array("ab")}, r"classes has shape \(\)"),
        ({"classes": np.array([b"\xe4", b"b"])}, "classes of type .* cannot be names"),
        ({"classes": np.array(["a", None])}, "classes is an array of Python objects.*array of str"),
        ({"X_val": GOOD["X_train"]}, r"lacks \['y_val'\]"),
        ({"classes": np.array(["one"])}, "names 1 classes, but has labels up to 1"),
    ],
)
def test_npz_that_does_not_fit_together(tmp_path, changes, message):
    np.savez(tmp_path / "odd.npz", **{**GOOD, **changes})
    with pytest.raises(ValueError, match=rf"odd\.npz.*{message}"):
        fetch_images("odd", subset="all", data_home=tmp_path)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_npz_that_was_cut_off(tmp_path, share):
    np.savez(tmp_path / "cut.npz", **GOOD)
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"cut\.npz cannot be used: .*cut short"):
        fetch_images("cut", data_home=tmp_path)


INTEGERS = ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("named", [False, True])
def test_npz_labels_of_any_integer_type(tmp_path, dtype, shape, named):
    y = np.array([0, 1, 1, 0]).astype(dtype).reshape(shape)
    names = {"classes": np.array(["cat", "dog"])} if named else {}
    np.savez(tmp_path / "odd.npz", **{**GOOD, "y_train": y, **names})
    bunch = fetch_images("odd", data_home=tmp_path)
    assert_array_equal(bunch.target, np.array([0, 1, 1, 0]), strict=True)
    assert_array_equal(bunch.target_names, ["cat", "dog"] if named else ["0", "1"])


@pytest.mark.parametrize("largest", [20_000_000, 2**63 - 1, 2**64 - 1])
def test_npz_without_names_counts_the_labels_that_there_are(tmp_path, largest):
    y = np.array([3, largest, 3, 7], dtype=np.uint64)
    np.savez(tmp_path / "odd.npz", **{**GOOD, "y_train": y, "y_test": np.array([7, 3, 8, 8])})
    train = fetch_images("odd", data_home=tmp_path)
    assert_array_equal(train.target, np.array([0, 3, 0, 1]), strict=True)
    names = ["3", "7", "8", str(largest)]
    assert_array_equal(train.target_names, names)  # of all parts, so that they count alike
    both = fetch_images("odd", data_home=tmp_path, subset="all")
    assert_array_equal(both.target, np.array([0, 3, 0, 1, 1, 0, 2, 2]), strict=True)
    assert_array_equal(both.target_names, names)


def test_npz_names_in_bytes(tmp_path):
    np.savez(tmp_path / "odd.npz", **GOOD, classes=np.array([b"cat", b"dog"]))
    assert_array_equal(fetch_images("odd", data_home=tmp_path).target_names, ["cat", "dog"])


def write_members(path, **changes):
    """Write GOOD with the bytes of some members changed, and checksums that fit them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in GOOD.items():
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(f"{key}.npy", changes.get(key, lambda data: data)(member.getvalue()))


@pytest.mark.parametrize("key", ["X_train", "y_test"])
def test_npz_header_that_asks_for_terabytes(tmp_path, key):
    """NumPy would allocate them before it reads."""

    def grow(data):
        shape = b"(4, 8, 8), }" if key == "X_train" else b"(4,), }"
        huge = b"(4000000000, 8, 8), }" if key == "X_train" else b"(4000000000000,), }"
        assert data.count(shape) == 1
        return data.replace(shape + b" " * (len(huge) - len(shape)), huge)

    write_members(tmp_path / "odd.npz")
    assert len(fetch_images("odd", data_home=tmp_path).data) == 4
    write_members(tmp_path / "odd.npz", **{key: grow})
    with pytest.raises(ValueError, match=rf"odd\.npz.*damaged or cut short.*{key} has shape \(40"):
        fetch_images("odd", data_home=tmp_path)


@pytest.mark.parametrize("content", [b"<html>404</html>" * 99, b"\x80\x04K\x01.", "npy"])
def test_npz_that_is_something_else(tmp_path, content):
    if content == "npy":
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(3))
        content = buffer.getvalue()
    (tmp_path / "odd.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.npz cannot be used: .*not a zip file"):
        fetch_images("odd", data_home=tmp_path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_mutations(tmp_path, save):
    """Damage of any kind is an error that names the file, or does not touch what is read."""
    arrays = {"classes": np.array([f"class {k}" for k in range(10)])}
    for part in ("train", "test"):
        arrays[f"X_{part}"], arrays[f"y_{part}"] = images(part, (8, 8))
    path = tmp_path / "odd.npz"
    save(path, **arrays)
    whole, rng, messages = path.read_bytes(), np.random.default_rng(0), []
    for _ in range(budget(150)):
        path.write_bytes(mutate(whole, rng))
        try:
            bunch = fetch_images("odd", data_home=tmp_path)
        except ValueError as error:
            messages.append(str(error))
            continue
        assert_array_equal(bunch.data, arrays["X_train"], strict=True)
        assert_array_equal(bunch.target, arrays["y_train"], strict=True)
        assert len(bunch.target_names) == 10
    assert len(messages) > 50
    assert all(message.startswith(f"{path} cannot be used: ") for message in messages)
    assert max(map(len, messages)) < 800


def test_npz_is_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    X, y = images("test", (8, 8))
    bomb = np.array([Bomb()] * len(X), dtype=object)
    np.savez(tmp_path / "bomb.npz", X_train=bomb, y_train=y, X_test=X, y_test=y)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        fetch_images("bomb", data_home=tmp_path)


# -- which data home -------------------------------------------------------------------------------


def test_data_home_from_the_environment(npz_home, tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_VAE_DATA", str(npz_home))
    assert len(fetch_images("full").data) == N["train"]
    empty = tmp_path / "empty"
    with pytest.raises(ValueError, match=r"holds no NAME\.npz files"):  # the argument wins
        fetch_images("full", data_home=empty)
    assert not empty.exists()


def test_data_home_in_the_home_folder(npz_home, tmp_path, monkeypatch):
    monkeypatch.delenv("SKLEARN_VAE_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    home = tmp_path / "sklearn_vae_data"
    home.mkdir()
    os.rename(npz_home / "full.npz", home / "full.npz")
    assert len(fetch_images("full").data) == N["train"]
    assert len(fetch_images("full", data_home="~/sklearn_vae_data").data) == N["train"]


def test_unknown_name_lists_what_there_is(npz_home):
    with pytest.raises(ValueError, match="'imagenet' is not a known") as error:
        fetch_images("imagenet", data_home=npz_home)
    for name in ("digits", "cifar10", "fashion_mnist", "kmnist", "mnist", "svhn", "full", "small"):
        assert f"'{name}'" in str(error.value)


@pytest.mark.parametrize(
    "wrong", [{"subset": "valid"}, {"return_X_y": "no"}, {"data_home": 3}, {"name": None}]
)
def test_parameters_are_checked_as_scikit_learn_does(wrong):
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of fetch_images"):
        fetch_images(**{"name": "digits", **wrong})


# -- digits ----------------------------------------------------------------------------------------


def test_digits():
    X, y = fetch_images("digits", subset="all", return_X_y=True)
    digits = load_digits()
    assert X.dtype == np.float32
    assert y.dtype == np.int64
    assert (X.min(), X.max()) == (0, 1)

    def rows(images, labels):
        return sorted(map(tuple, np.column_stack([images.reshape(len(images), -1), labels])))

    assert rows(X * 16, y) == rows(digits.images, digits.target)  # each image once, its own label


def test_digits_split_is_fixed_and_stratified():
    y_train, y_test = (fetch_images("digits", subset=part).target for part in ("train", "test"))
    assert_array_equal(fetch_images("digits").target, y_train)
    assert len(y_test) == 450
    assert np.all(np.abs(np.bincount(y_train) - 3 * np.bincount(y_test)) <= 3)
    with pytest.raises(ValueError, match="'digits' has no 'val' part"):
        fetch_images("digits", subset="val")


# -- torchvision's own files -----------------------------------------------------------------------


def write_idx(folder, shape=(28, 28)):
    """Write the four files of the MNIST family."""
    folder.mkdir(parents=True)
    for part, stem in (("train", "train"), ("test", "t10k")):
        X, y = images(part, shape)
        for array, kind in ((X, "images-idx3"), (y.astype(np.uint8), "labels-idx1")):
            magic = np.array([2048 + array.ndim, *array.shape], ">i4").tobytes()
            (folder / f"{stem}-{kind}-ubyte").write_bytes(magic + array.tobytes())


class OldDtype:
    """uint8 as Python 2 pickled it."""

    def __reduce__(self):
        return np.dtype, ("u1", 0, 1), (3, "|", None, None, None, -1, -1, 0)


class OldArray:
    """A uint8 array as Python 2 pickled it, with align=0: NumPy 2.4.0 to 2.4.4 warn of it."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        state = (1, self.array.shape, OldDtype(), False, self.array.tobytes())
        return np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), state


def write_cifar(home, monkeypatch):
    """Write CIFAR-10's six batches and names, and let torchvision accept their checksums."""
    folder = home / "cifar-10-batches-py"
    folder.mkdir()
    names = ["airplane", "automobile", "bird", "cat", "deer"]
    (folder / "batches.meta").write_bytes(
        pickle.dumps({"label_names": [*names, "dog", "frog", "horse", "ship", "truck"]})
    )
    X, y = images("train", (32, 32, 3))
    batches = {
        f"data_batch_{k + 1}": (X[4 * k : 4 * k + 4], y[4 * k : 4 * k + 4]) for k in range(5)
    }
    batches["test_batch"] = images("test", (32, 32, 3))
    for name, (X, y) in batches.items():
        rows = X.transpose(0, 3, 1, 2).reshape(len(X), -1)  # as published: red, green, blue
        entry = {"data": OldArray(rows), "labels": y.tolist()}
        (folder / name).write_bytes(pickle.dumps(entry, protocol=2))
    sums = [[name, md5(folder / name)] for name in batches]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[5:])
    meta = {**datasets.CIFAR10.meta, "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return folder


def write_svhn(home, monkeypatch):
    """Write SVHN's two files, the digit 0 labelled 10, with their checksums."""
    listed = dict(datasets.SVHN.split_list)
    for part in ("train", "test"):
        X, y = images(part, (32, 32, 3))
        url, filename, _ = listed[part]
        old_labels = np.where(y == 0, 10, y).astype(np.uint8)[:, None]
        savemat(home / filename, {"X": X.transpose(1, 2, 3, 0), "y": old_labels})
        listed[part] = [url, filename, md5(home / filename)]
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)


@pytest.fixture
def vision_home(tmp_path, monkeypatch):
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        write_idx(tmp_path / name / "raw")
    write_cifar(tmp_path, monkeypatch)
    write_svhn(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize("subset", ["train", "test", "all"])
@pytest.mark.parametrize(
    ("name", "shape", "last_class"),
    [
        ("mnist", (28, 28), "9"),
        ("fashion_mnist", (28, 28), "Ankle boot"),
        ("kmnist", (28, 28), "wo"),
        ("cifar10", (32, 32, 3), "truck"),
        ("svhn", (32, 32, 3), "9"),
    ],
)
def test_torchvision_files(vision_home, name, shape, last_class, subset):
    bunch = fetch_images(name, subset=subset, data_home=vision_home, download_if_missing=False)
    parts = [images(p, shape) for p in ("train", "test") if subset in (p, "all")]
    assert_array_equal(bunch.data, np.concatenate([X for X, _ in parts]), strict=True)
    assert_array_equal(bunch.target, np.concatenate([y for _, y in parts]), strict=True)
    assert bunch.data.flags.c_contiguous
    assert len(bunch.target_names) == 10
    assert bunch.target_names[9] == last_class


def test_torchvision_sets_have_no_validation_part(tmp_path):
    with pytest.raises(ValueError, match="'mnist' has no 'val' part"):
        fetch_images("mnist", subset="val", data_home=tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "cifar10", "svhn"])
def test_missing_without_download(tmp_path, name):
    with pytest.raises(OSError, match="download_if_missing=False"):
        fetch_images(name, data_home=tmp_path / "none", download_if_missing=False)
    assert not (tmp_path / "none").exists()


def test_damaged_file_is_refused(tmp_path, monkeypatch):
    batch = write_cifar(tmp_path, monkeypatch) / "data_batch_3"
    damaged = bytearray(batch.read_bytes())
    damaged[-9] ^= 1
    batch.write_bytes(damaged)
    with pytest.raises(OSError, match="corrupted"):
        fetch_images("cifar10", data_home=tmp_path, download_if_missing=False)


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize("name", ["images-idx3", "labels-idx1"])
@pytest.mark.parametrize("left", [0, 3, 9, 20, -1])
def test_unpacked_file_that_was_cut_short(tmp_path, name, left, download):
    """Nothing is downloaded over it: torchvision takes any file of the name for the whole one."""
    write_idx(tmp_path / "MNIST" / "raw")
    path = tmp_path / "MNIST" / "raw" / f"train-{name}-ubyte"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(OSError, match=rf"train-{name}-ubyte is cut short: it has \d+ of \d+ bytes"):
        fetch_images("mnist", data_home=tmp_path, download_if_missing=download)
    assert len(fetch_images("mnist", subset="test", data_home=tmp_path).data) == N["test"]


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"\0\0\x08\x01", "starts with 2049"),
        (b"\x1f\x8b\x08\x00", "starts with 529205248"),  # still packed
        (b"\0\0\x08\x03\0\0\0\x13", r"sizes \[19, 28, 28\]"),
    ],
)
def test_unpacked_file_that_is_damaged(tmp_path, start, message):
    write_idx(tmp_path / "KMNIST" / "raw")
    path = tmp_path / "KMNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(start + path.read_bytes()[len(start) :])
    with pytest.raises(OSError, match=rf"train-images-idx3-ubyte is damaged: .*{message}"):
        fetch_images("kmnist", data_home=tmp_path)


def test_unpacked_file_mutations(tmp_path):
    write_idx(tmp_path / "MNIST" / "raw", shape=(4, 4))
    rng, refused = np.random.default_rng(0), 0
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        path = tmp_path / "MNIST" / "raw" / name
        whole = path.read_bytes()
        for _ in range(budget(50)):
            path.write_bytes(mutate(whole, rng))
            try:
                X, y = fetch_images("mnist", data_home=tmp_path, return_X_y=True)
            except OSError as error:
                refused += 1
                message = str(error)
            else:
                message = name
                assert X.shape == (20, 4, 4)
                assert y.shape == (20,)
                assert set(y) <= {*range(10)}
            assert name in message
        path.write_bytes(whole)
    assert refused > 30


def test_unpacked_files_of_different_lengths(tmp_path):
    write_idx(tmp_path / "MNIST" / "raw")
    labels = tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes(np.array([2049, 7], ">i4").tobytes() + bytes(7))
    with pytest.raises(OSError, match=r"20 images in its train part and 7 labels.*labels-idx1"):
        fetch_images("mnist", data_home=tmp_path, download_if_missing=False)
    labels.write_bytes(np.array([2049, 20], ">i4").tobytes() + bytes([10] * 20))
    with pytest.raises(OSError, match=r"20 labels, \[10\]"):
        fetch_images("mnist", data_home=tmp_path, download_if_missing=False)


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize(
    ("name", "path"),
    [("cifar10", "cifar-10-batches-py/data_batch_3"), ("svhn", "train_32x32.mat")],
)
def test_file_with_a_checksum_that_was_cut_short(vision_home, monkeypatch, name, path, download):
    nowhere = "http://127.0.0.1:9/none"
    monkeypatch.setattr(datasets.CIFAR10, "url", nowhere)
    listed = {part: [nowhere, *rest] for part, (_, *rest) in datasets.SVHN.split_list.items()}
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (vision_home / path).write_bytes((vision_home / path).read_bytes()[:1000])
    what = rf"Cut short or corrupted.*{path} \(1000 bytes\), and "
    then = "downloading them failed" if download else "download_if_missing=False"
    with pytest.raises(OSError, match=what + then):
        fetch_images(name, data_home=vision_home, download_if_missing=download)


@pytest.mark.parametrize(
    ("name", "path"),
    [("mnist", "MNIST/raw/train-labels-idx1-ubyte.gz"), ("cifar10", "cifar-10-python.tar.gz")],
)
def test_archive_that_was_cut_short(tmp_path, name, path):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(b"\x1f\x8b\x08" + bytes(97))
    with pytest.raises(OSError, match=rf"Cut short or corrupted.*{path} \(100 bytes\), and down"):
        fetch_images(name, data_home=tmp_path, download_if_missing=False)


def test_download(tmp_path, monkeypatch):
    """From a server of the test's own, then, with the server gone, from the data home."""
    write_idx(tmp_path / "raw")
    served = tmp_path / "served"
    served.mkdir()
    resources = []
    for path in sorted((tmp_path / "raw").iterdir()):
        packed = served / f"{path.name}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        resources.append((packed.name, md5(packed)))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = partial(Quiet, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(datasets.MNIST, "resources", resources)
        mirror = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            first = fetch_images("mnist", data_home=tmp_path / "home")
        finally:
            server.shutdown()
            thread.join()
    assert_array_equal(first.data, images("train", (28, 28))[0], strict=True)
    again = fetch_images("mnist", subset="test", data_home=tmp_path / "home")
    assert_array_equal(again.data, images("test", (28, 28))[0], strict=True)
    with pytest.raises(OSError, match="downloading them failed"):
        fetch_images("mnist", data_home=tmp_path / "another home")


# -- the rest --------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not os.environ.get("SKLEARN_VAE_DATA"), reason="SKLEARN_VAE_DATA names no data home"
)
def test_mnist_is_the_official_one():
    try:
        train = fetch_images("mnist", download_if_missing=False)
    except OSError as error:
        pytest.skip(str(error))
    test = fetch_images("mnist", subset="test", download_if_missing=False)
    assert train.data.shape == (60000, 28, 28)
    assert test.data.shape == (10000, 28, 28)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert_array_equal(np.bincount(train.target), counts)
    assert_array_equal(
        np.bincount(test.target), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
    assert_array_equal(train.target_names, list("0123456789"))
