"""Streams: each item once a pass, mixed by a buffer, in a memory that does not grow with them."""

import io
import itertools
import pickle
import random
import tarfile
import tracemalloc

import numpy as np
import pytest
import torch
from helpers import same_weights, synthetic_images, tiny
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from sklearn_vae import BackboneTransformer, VAEAugmenter, VAEClassifier, VAEDetector
from sklearn_vae.input import _streams
from sklearn_vae.input._batches import Batches
from sklearn_vae.input._streams import StreamDataset

X = synthetic_images(300, 8, 8, dtype="uint8")


class Stream(IterableDataset):
    """Images one by one, by turns those of each process; counts how many it gave."""

    def __init__(self, X=X, wrap=lambda x: x):
        self.X, self.wrap, self.n_given, self.n_passes = X, wrap, 0, 0

    def __iter__(self):
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        self.n_passes += 1
        for i in range(start, len(self.X), step):
            self.n_given += 1
            yield self.wrap(self.X[i])


class Sized(Stream):
    def __len__(self):
        return len(self.X)


class Drawing(Sized):
    """With noise from all generators there are."""

    def __iter__(self):
        for x in super().__iter__():
            draws = int(torch.randint(9, ())) + np.random.randint(9) + random.randrange(9)  # noqa: NPY002
            yield x // 2 + np.uint8(draws)


class Once(Sized):
    """Goes on where it was left."""

    def __init__(self, X=X):
        super().__init__(X)
        self.left = iter(X)

    def __iter__(self):
        yield from self.left


def numbers(n):
    """Return images of which each shows its number."""
    return np.arange(n, dtype=np.float64).repeat(64).reshape(n, 8, 8)


@pytest.fixture
def small_buffer(monkeypatch):
    """A buffer of 40 images of numbers, and one of 320 as bytes."""
    monkeypatch.setattr(_streams, "BUFFER", 40 * 64 * 8)


@pytest.mark.parametrize("wrap", [torch.tensor, lambda x: (x, 3), lambda x: [x, "label"]])
@pytest.mark.parametrize("step", [1, 20, 32, 50, 64, 1000])
def test_a_pass_gives_the_items_in_their_order(wrap, step):
    data = StreamDataset(Stream(X, wrap))
    chunks = [*data.read_through(step)]
    assert [len(x) for x in chunks] == [min(step, 300 - k) for k in range(0, 300, step)]
    np.testing.assert_array_equal(torch.cat(chunks), X)
    np.testing.assert_array_equal(data.rows(7, 250), X[7:250])
    np.testing.assert_array_equal(data.sample(100), X[:100])
    np.testing.assert_array_equal(data.take(torch.tensor([250, 3, 9])), X[[250, 3, 9]])


@pytest.mark.parametrize("n", [2, 33, 100, 301])
@pytest.mark.parametrize("batch_size", [16, 64])
def test_an_epoch_shows_each_item_once_and_mixes_a_buffer_of_them(n, batch_size, small_buffer):
    stream = Sized(numbers(n))
    data = StreamDataset(stream)
    data.first(1)
    stream.n_given = 0
    batches = Batches(data, batch_size, shuffle=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        epochs = [torch.cat([b.x[:, 0, 0].long() for b in batches]) for _ in range(2)]
    for seen in epochs:
        assert seen.sort().values.tolist() == list(range(n))
        late = seen - torch.arange(n)
        assert n <= 40 or int(late.abs().max()) < 2 * max(40, batch_size)
        assert n < 33 or float(late.abs().double().mean()) > 5
    assert not torch.equal(*epochs) or n == 2
    assert stream.n_given == 2 * n


def test_a_shorter_stream_is_begun_again_and_a_longer_one_left():
    class Wrong(Stream):
        def __len__(self):
            return 400

    np.testing.assert_array_equal(
        torch.cat([*StreamDataset(Wrong()).read([torch.arange(400)])]), np.concatenate([X, X[:100]])
    )

    class Endless(Sized):
        def __iter__(self):
            return itertools.cycle(self.X)

    vae = tiny().fit(Endless())
    assert vae.n_samples_seen_ == 600
    chunks = vae.transform_chunked(Endless())
    first = next(chunks)
    np.testing.assert_array_equal(first, vae.transform(Endless().X[np.arange(len(first)) % 300]))


@pytest.mark.parametrize("kind", [Stream, Sized])
def test_a_fit_is_that_of_an_array(kind):
    """A buffer that holds all shuffles as rows in memory are."""
    vae = tiny().fit(X)
    of_stream = tiny().fit(kind())
    assert same_weights(of_stream, vae)
    np.testing.assert_array_equal(of_stream.transform(kind()), vae.transform(X))
    np.testing.assert_array_equal(np.vstack([*vae.transform_chunked(kind())]), vae.transform(X))
    np.testing.assert_array_equal(of_stream.score_samples(kind()), vae.score_samples(X))
    np.testing.assert_array_equal(of_stream.reconstruct(kind()), vae.reconstruct(X))
    assert of_stream.score(kind()) == vae.score(X)
    assert same_weights(tiny().fit(kind(), np.arange(300) % 3), vae)  # as a pipeline passes y
    np.testing.assert_array_equal(tiny().fit_transform(kind()), vae.transform(X))
    assert same_weights(tiny().partial_fit(kind()), tiny().partial_fit(X))
    again = tiny(warm_start=True).fit(kind()).fit(kind())
    assert same_weights(again, tiny(warm_start=True).fit(X).fit(X))


def test_the_same_seed_gives_the_same_bits_of_a_stream_that_draws():
    before = torch.get_rng_state(), random.getstate()
    a, b, other = (tiny(random_state=seed).fit(Drawing()) for seed in (0, 0, 1))
    assert same_weights(a, b)
    assert not same_weights(a, other)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_the_first_items_are_held_out_for_validation():
    images = numbers(300) / 300
    seen = []

    class Telling(torch.nn.Module):
        def forward(self, x):
            seen.append(x[:, 0, 0])
            return x

    augment = Telling()
    vae = tiny(validation_fraction=0.2, augment=augment, patience=2).fit(Sized(images))
    assert {"valid_loss"} <= vae.history_[-1].keys()
    shown = torch.cat([x.flatten() for x in seen])
    assert shown.unique().numel() == 240
    assert float(shown.min()) == pytest.approx(60 / 300)
    with pytest.raises(ValueError, match=r"other items.*held out.*validation_fraction=0"):
        tiny(validation_fraction=0.2).fit(Drawing())


def test_rows_of_a_stream_are_standardised_by_the_first():
    rows = np.random.default_rng(0).normal(5, 3, (200, 6))
    vae = tiny().fit(Sized(rows))
    np.testing.assert_allclose(vae.module_.scaling.loc, rows.mean(0), rtol=1e-5)
    assert vae.n_features_in_ == 6


# -- memory ----------------------------------------------------------------------------------------


class Fresh(IterableDataset):
    """Images of 12 KB that are made when they are asked for."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __iter__(self):
        for i in range(self.n):
            self.made = i + 1
            yield np.full((64, 64, 3), i % 256, np.uint8)


def test_memory_is_that_of_the_buffer(monkeypatch):
    monkeypatch.setattr(_streams, "BUFFER", 200 * 12288)
    for n in (1000, 4000):
        stream = Fresh(n)
        data = StreamDataset(stream)
        data.first(1)
        stream.made, taken, ahead = 0, 0, []
        for batch in Batches(data, 64, shuffle=True):
            taken += len(batch.x)
            ahead.append(stream.made - taken)
        assert taken == n
        assert 100 < max(ahead) <= 200 + 64


def test_transform_by_chunks_holds_one(monkeypatch):
    vae = tiny().fit(Fresh(100))
    peaks = []
    for n in (500, 2000):
        tracemalloc.start()
        assert sum(len(Z) for Z in vae.transform_chunked(Fresh(n))) == n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 2**20


def test_a_fitted_estimator_holds_no_stream(tmp_path):
    stream = Sized()
    vae = tiny(validation_fraction=0.1).fit(stream)
    assert b"Sized" not in pickle.dumps(vae)
    assert stream not in [value for value in vars(vae.net_).values() if value is stream]


# -- what is refused -------------------------------------------------------------------------------


def test_an_empty_stream_and_one_that_does_not_restart_are_refused():
    with pytest.raises(ValueError, match=r"Sized, gives no items"):
        tiny().fit(Sized(X[:0]))
    with pytest.raises(ValueError, match=r"1 sample.*at least 2"):
        tiny().fit(Sized(X[:1]))
    vae = tiny().fit(X)
    with pytest.raises(ValueError, match=r"gives no items"):
        vae.transform(Stream(X[:0]))

    class Own(IterableDataset):
        def __iter__(self):
            return self

        def __next__(self):
            return X[0]

    for stream in (Once(), Own()):
        with pytest.raises(ValueError, match=r"does not restart.*new iterator"):
            tiny().fit(stream)
        assert not hasattr(tiny(), "codec_")
    before = vae.transform(X)
    with pytest.raises(ValueError, match=r"does not restart"):
        vae.fit(Once())
    np.testing.assert_array_equal(vae.transform(X), before)


def test_a_long_stream_without_a_length_is_counted_with_a_warning(monkeypatch):
    monkeypatch.setattr(_streams, "LONG", 200)
    with pytest.warns(UserWarning, match=r"without a length.*200 so far.*__len__"):
        assert len(StreamDataset(Stream())) == 300


REFUSED = {
    "labels": (lambda: tiny(label_weight=1.0).fit(Sized(), np.arange(300) % 2), r"label_weight=1"),
    "memory": (lambda: tiny(memory="cache").fit(Sized()), r"memory finds.*memory=None"),
    "checkpoint": (lambda: tiny(checkpoint="here").fit(Drawing()), r"checkpoint=None"),
    "forms": (
        lambda: tiny().fit(Sized([*X[:100], *X[100:].astype(bool)])),
        r"\(8, 8\) and torch.uint8, and others of \(8, 8\) and torch.bool",
    ),
    "sizes": (lambda: tiny().fit(Sized([*X[:100], X[0, :, :7]])), r"several sizes"),
    "range": (
        lambda: tiny().fit(Sized(np.r_[X[:100] / 255, X[:9] / 100])),
        r"values from .* needed",
    ),
    "y": (lambda: tiny().fit(Sized(), np.zeros(299)), r"300 samples, but y has shape \(299,\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_rows_by_number_is_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()
    assert not [*tmp_path.rglob("*.pt")]


Y = np.arange(300) % 2
OTHERS = {
    "detector": lambda: VAEDetector(tiny()).fit(Sized()),
    "fitted detector": lambda: VAEDetector(tiny()).fit(X).predict(Sized()),
    "classifier": lambda: VAEClassifier(tiny()).fit(Sized(), Y),
    "augmenter": lambda: VAEAugmenter(vae=tiny()).fit_resample(Sized(), Y),
    "backbone": lambda: BackboneTransformer(torch.nn.Identity()).fit(Sized()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_estimators_name_what_to_pass(name):
    with pytest.raises(TypeError, match=r"(Only VAETransformer|VAEAugmenter needs).*np\.stack"):
        OTHERS[name]()


# -- processes and checkpoints ---------------------------------------------------------------------


def test_two_processes_train_one_model_on_a_stream():
    vae = tiny(parallel=2).fit(Sized())
    assert same_weights(vae, tiny(parallel=2).fit(X))
    with pytest.raises(ValueError, match=r"other items.*share it out.*parallel=None"):
        tiny(parallel=2).fit(Drawing())


def test_batches_are_the_same_for_any_number_of_processes():
    expected = [batch.x for batch in Batches(StreamDataset(Sized()), 32)]
    data = StreamDataset(Sized(), workers=2)
    for _ in range(2):  # the processes are kept
        for a, b in zip(Batches(data, 32), expected, strict=True):
            assert torch.equal(a.x, b)
    np.testing.assert_array_equal(torch.cat([*data.read_through(37)]), X)
    outer = iter(data.read(torch.arange(90).split(30)))  # reading within reading
    assert torch.equal(next(outer), next(iter(data.read(torch.arange(90).split(30)))))


def test_a_fit_is_the_same_for_any_number_of_processes():
    assert same_weights(tiny(loader_workers=1).fit(Drawing()), tiny().fit(Drawing()))


class Whole(Stream):
    def __iter__(self):
        return iter(self.X)


def test_a_stream_that_does_not_share_its_items_out_is_refused():
    with pytest.raises(
        ValueError, match=r"same items in each of loader_workers=2.*get_worker_info"
    ):
        tiny(loader_workers=2).fit(Whole())


def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path):
    class Dying(Sized):
        most = 10**9

        def __iter__(self):
            for x in super().__iter__():
                if self.n_given > self.most:
                    raise ConnectionError("gone")
                yield x

    settings = {"max_epochs": 4, "checkpoint": tmp_path, "validation_fraction": 0.1}
    whole, dying, rest = Dying(), Dying(), Dying()
    vae = tiny(**settings).fit(whole)
    dying.most = whole.n_given - 1000
    with pytest.raises(ConnectionError, match="gone"):
        tiny(**settings).fit(dying)
    assert len([*tmp_path.glob("*.pt")]) == 1
    assert same_weights(tiny(**settings).fit(rest), vae)
    assert rest.n_given < whole.n_given - 300


# -- the libraries ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file of its own
def test_webdataset(tmp_path):
    wds = pytest.importorskip("webdataset")
    for shard in range(2):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as tar:
            for i in range(shard * 150, shard * 150 + 150):
                for suffix, content in (("png", png(X[i])), ("cls", str(i % 3).encode())):
                    info = tarfile.TarInfo(f"{i:04d}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    urls = [str(tmp_path / f"{shard}.tar") for shard in range(2)]

    def stream():
        images = wds.WebDataset(urls, shardshuffle=False).decode("l8").to_tuple("png", "cls")
        return images.with_length(300, silent=True)

    vae = tiny().fit(stream())
    assert same_weights(vae, tiny().fit(X))
    np.testing.assert_array_equal(vae.transform(stream()), vae.transform(X))


def png(x):
    file = io.BytesIO()
    Image.fromarray(x).save(file, "png")
    return file.getvalue()


@pytest.fixture
def datasets():
    pytest.importorskip("datasets.features")  # without it the folder tests/datasets is a "datasets"
    return pytest.importorskip("datasets")


@pytest.mark.parametrize("form", [None, "torch", "numpy"])
def test_a_stream_of_hugging_faces(datasets, form):
    def examples():
        for i, x in enumerate(X):
            yield {"image": Image.fromarray(x), "label": i % 3}

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    for known in (features, None):
        stream = datasets.IterableDataset.from_generator(examples, features=known)
        stream = stream.with_format(form) if form else stream
        vae = tiny().fit(stream)
        assert same_weights(vae, tiny().fit(given(form)))
        np.testing.assert_array_equal(vae.transform(stream), vae.transform(given(form)))


def given(form):
    """Return what the libraries make of images in a format."""
    return X[:, None] if form == "torch" else X


@pytest.mark.parametrize("form", [None, "torch", "numpy"])
def test_a_table_of_hugging_faces(datasets, form):
    columns = {"image": [Image.fromarray(x) for x in X], "label": [i % 3 for i in range(300)]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    table = datasets.Dataset.from_dict(columns, features=features)
    table = table.with_format(form) if form else table
    vae = tiny().fit(table)
    expected = vae.transform(given(form))
    assert same_weights(vae, tiny().fit(given(form)))
    np.testing.assert_array_equal(vae.transform(table), expected)
    np.testing.assert_array_equal(vae.transform(table.to_iterable_dataset()), expected)
