"""BackboneTransformer: a frozen network's features, pooled or in place, in pipelines and files."""

import copy
import io
import pickle
import threading
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from helpers import synthetic_images, tiny
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from torch import nn
from torch.utils.data import TensorDataset
from torchvision import models

from sklearn_vae import BackboneTransformer, VAEAugmenter, VAEDetector, VAETransformer
from sklearn_vae.nn._frozen import default_tap

SETTINGS = {"device": "cpu", "precision": "float32"}
SMALL = "mobilenet_v3_small"
TO_64 = models.get_model_weights(SMALL).DEFAULT.transforms(resize_size=64, crop_size=64)


def module(channels=3):
    """A convolutional network with random weights; ReLUs work in place, as in most."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 3, 2, 1),
        nn.ReLU(inplace=True),
    )


def frozen(backbone=None, **changes):
    return BackboneTransformer(module() if backbone is None else backbone, **SETTINGS | changes)


def by_name(**changes):
    return frozen(SMALL, **{"weights": None, "preprocessing": TO_64, **changes})


@pytest.fixture(scope="module")
def photos():
    """Colour images of 16 x 24 pixels, uint8."""
    return synthetic_images(40, 16, 24, 3, dtype="uint8")


def computed(net, X):
    """Return what a module makes of uint8 images (n, h, w, c) in [0, 1], by hand."""
    with torch.inference_mode():
        return net.eval()(torch.from_numpy(X).permute(0, 3, 1, 2).float() / 255)


# -- features -----------------------------------------------------------------------------------


def test_features_are_the_modules_averaged_over_the_image(photos):
    net = module()
    Z = frozen(net).fit_transform(photos)
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z, computed(net, photos).mean((2, 3)), rtol=1e-4, atol=1e-6)


def test_a_grid_keeps_features_in_their_places(photos):
    net = module()
    G = frozen(net, pool=None).fit_transform(photos)
    assert G.shape == (40, 4, 6, 8)
    np.testing.assert_allclose(G, computed(net, photos).permute(0, 2, 3, 1), rtol=1e-4, atol=1e-6)


def test_several_layers_stand_side_by_side_as_they_were_before_later_ones_changed_them(photos):
    net = module()
    normed = computed(net[:2], photos)
    assert normed.min() < 0  # which the ReLU behind then changes in place
    last = computed(net, photos)
    Z = frozen(net, layers=["1", "4"]).fit_transform(photos)
    by_hand = torch.cat([normed.mean((2, 3)), last.mean((2, 3))], 1)
    np.testing.assert_allclose(Z, by_hand, rtol=1e-4, atol=1e-5)
    G = frozen(net, layers=["1", "4"], pool=None).fit_transform(photos)
    assert G.shape == (40, 8, 12, 14)
    larger = F.interpolate(last, (8, 12), mode="bilinear", align_corners=False)
    both = torch.cat([normed, larger], 1).permute(0, 2, 3, 1)
    np.testing.assert_allclose(G, both, rtol=1e-4, atol=1e-5)


def test_layers_behind_the_last_that_is_asked_for_do_not_run(photos):
    class Fails(nn.Module):
        def forward(self, x):
            raise AssertionError("not needed")

    net = nn.Sequential(*module(), Fails())
    with pytest.raises(ValueError, match="not needed"):
        frozen(net).fit(photos)
    twice = nn.ReLU()  # a layer that is called twice: its last output counts
    shared = nn.Sequential(twice, module(), nn.Flatten(2), twice, nn.Unflatten(2, (4, 6)))
    Z = frozen(shared, layers="0").fit_transform(photos)
    assert Z.shape == (40, 6 * 4) or Z.shape == (40, 24)


def test_tokens_are_averaged_or_put_back_into_their_square():
    class Tokens(nn.Module):
        def __init__(self, others):
            super().__init__()
            self.others = others

        def forward(self, x):
            tokens = F.avg_pool2d(x, 4).flatten(2).transpose(1, 2)
            return torch.cat([tokens.new_full((len(x), self.others, 3), 9.0), tokens], 1)

    X = synthetic_images(5, 16, 16, 3)
    cells = X.reshape(5, 4, 4, 4, 4, 3).mean((2, 4))
    for others in (0, 1, 5):
        G = frozen(Tokens(others), pool=None).fit_transform(X)
        np.testing.assert_allclose(G, cells, rtol=1e-5)
        Z = frozen(Tokens(others)).fit_transform(X)
        by_hand = (cells.sum((1, 2)) + 9 * others) / (16 + others)
        np.testing.assert_allclose(Z, by_hand, rtol=1e-5)
    with pytest.raises(ValueError, match="no grid"):
        frozen(Tokens(3), pool=None).fit(X)


def test_maps_with_channels_last_are_told_by_the_images_proportions(photos):
    class Last(nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1)

    net = nn.Sequential(module(), Last())
    for pool in ("mean", None):
        a, b = (frozen(m, pool=pool).fit_transform(photos) for m in (net[0], net))
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_rows_features_do_not_depend_on_how_many_come_with_it(photos, precision):
    backbone = by_name(precision=precision).fit(photos)
    Z = backbone.transform(photos)
    for rows in (slice(0, 1), slice(3, 20), slice(38, 40)):
        np.testing.assert_allclose(backbone.transform(photos[rows]), Z[rows], rtol=1e-5, atol=1e-6)


def test_bfloat16_is_taken_where_features_hardly_change(photos, monkeypatch):
    monkeypatch.setattr("sklearn_vae._backbone.has_fast_bfloat16", lambda device: True)
    exact, close = (frozen(precision=p).fit(photos) for p in ("float32", "auto"))
    assert close.module_.settings.bfloat16
    Z, close_Z = exact.transform(photos), close.transform(photos)
    assert 0 < np.abs(Z - close_Z).max() < 0.05 * np.ptp(Z)
    assert close_Z.dtype == np.float32
    same = photos[:1].repeat(5, axis=0)  # no spread to compare an error with
    assert not frozen(precision="auto").fit(same).module_.settings.bfloat16
    monkeypatch.setattr("sklearn_vae._backbone.has_fast_bfloat16", lambda device: False)
    loaded = pickle.loads(pickle.dumps(close))
    np.testing.assert_array_equal(loaded.transform(photos), Z)
    assert frozen(precision="bfloat16").fit(photos).module_.settings.bfloat16


def test_the_users_module_and_images_stay_as_they_were(photos):
    net = module().train()
    X = photos / 255
    before = copy.deepcopy(net.state_dict()), X.copy()
    frozen(net, preprocessing=lambda x: x.sub_(0.5)).fit_transform(X)
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(value, before[0][name]) for name, value in net.state_dict().items())
    np.testing.assert_array_equal(X, before[1])
    assert not net[0]._forward_hooks


def test_threads_do_not_mix_their_features_up(photos):
    backbone = frozen(layers=["1", "4"]).fit(photos)
    Z = backbone.transform(photos)
    results = {}

    def work(i):
        results[i] = [backbone.transform(photos[i : i + 20]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i in range(4):
        for each in results[i]:
            np.testing.assert_allclose(each, Z[i : i + 20], rtol=1e-5, atol=1e-6)


# -- what goes in -------------------------------------------------------------------------------


def test_every_layout_and_container_has_the_same_features(photos, tmp_path):
    Z = frozen().fit_transform(photos)
    first = np.ascontiguousarray(photos.transpose(0, 3, 1, 2))
    np.save(tmp_path / "X.npy", photos)
    forms = [
        (first, None),
        (photos.reshape(40, -1), (16, 24, 3)),
        (first.reshape(40, -1), (3, 16, 24)),
        (torch.from_numpy(photos), None),
        (TensorDataset(torch.from_numpy(first)), None),
        (np.load(tmp_path / "X.npy", mmap_mode="r"), None),
        ([*photos], None),
        (photos / 255, None),
    ]
    for X, image_shape in forms:
        backbone = frozen(image_shape=image_shape).fit(X)
        np.testing.assert_allclose(backbone.transform(X), Z, rtol=1e-5, atol=1e-6)


def test_preprocessing_sees_levels_of_uint8_and_else_float_in_unit_range(photos):
    seen = []

    def spy(x):
        seen.append((x.dtype, tuple(x.shape[1:]), float(x.max()) > 1))
        return x.float()

    for X in (photos, photos / 255, photos > 127):
        frozen(preprocessing=spy).fit_transform(X)
    with pytest.warns(UserWarning, match="taken for masks"):
        frozen(preprocessing=spy).fit_transform((photos > 127).astype(np.uint8))
    assert seen[0] == (torch.uint8, (3, 16, 24), True)
    assert {s for s in seen if s[0] != torch.uint8} == {(torch.float32, (3, 16, 24), False)}


def test_grey_images_become_three_channels_and_others_are_refused(photos):
    grey = photos[..., 0]
    Z = frozen().fit_transform(grey)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_allclose(frozen().fit_transform(colour), Z, rtol=1e-5, atol=1e-6)
    assert frozen(module(channels=1)).fit_transform(grey).shape == (40, 8)
    with pytest.raises(ValueError, match=r"4 channels; the backbone takes 3. .*X\[..., :3\]"):
        frozen().fit(np.concatenate([photos, photos[..., :1]], -1))
    with pytest.raises(ValueError, match="3 channels; the backbone takes 1"):
        frozen(module(channels=1)).fit(photos)


REFUSED = [
    ({"backbone": "resnet81"}, ["resnet81", "resnet18", "list_models"]),
    ({"backbone": "fasterrcnn_resnet50_fpn"}, ["no classification model"]),
    ({"backbone": SMALL, "weights": "V7"}, ["V7", "IMAGENET1K_V1", "DEFAULT", "None"]),
    ({"backbone": SMALL, "weights": "ResNet50_Weights.DEFAULT"}, ["ResNet50", SMALL]),
    ({"layers": "5"}, ["layers='5'", "named_modules"]),
    ({"layers": []}, ["layers is empty"]),
    ({"backbone": nn.Sequential(module(), nn.Flatten()), "pool": None}, ["no grid", "pool='mean'"]),
    ({"device": "tpu"}, ["tpu"]),
]


@pytest.mark.parametrize("changes, words", REFUSED)
def test_what_cannot_work_is_refused_and_nothing_changes(photos, changes, words):
    backbone = frozen().fit(photos)
    before = backbone.transform(photos)
    backbone.set_params(**changes)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the words follow)
        backbone.fit(photos)
    assert all(word in str(caught.value) for word in words), caught.value
    np.testing.assert_array_equal(backbone.transform(photos), before)


def test_rows_need_a_module_or_an_image_shape(photos):
    rows = photos.reshape(40, -1)
    with pytest.raises(ValueError, match=r"1152 values.*set image_shape"):
        by_name().fit(rows)
    assert frozen(nn.Linear(1152, 5)).fit_transform(rows).shape == (40, 5)


def test_images_out_of_range_are_refused(photos):
    with pytest.raises(ValueError, match="Divide by 255"):
        frozen().fit(photos.astype(np.float32))
    with pytest.raises(ValueError, match="fitted on samples of shape"):
        frozen().fit(photos).transform(photos[:, :8])


class Function(nn.Module):
    """A module of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "function, match",
    [
        (lambda x: (x, x), "output of the module is a tuple; a real tensor is needed"),
        (lambda x: torch.fft.fft(x.mean((2, 3))), "complex64 tensor; a real"),
        (lambda x: x[:, :0].mean((2, 3)), r"shape \(16, 0\), are empty, infinite or NaN"),
        (lambda x: x.mean((2, 3)) / 0, "infinite or NaN"),
        (lambda x: x.mean((0, 2, 3))[None], "16 images have 1 rows"),
        (lambda x: x @ torch.zeros(3, 3), r"fail on X, uint8 of shape \(3, 16, 24\): RuntimeErr"),
        (lambda x: x.nothing, "fail on X, .* AttributeError"),
    ],
)
def test_features_must_be_finite_numbers_of_each_image(photos, function, match):
    with pytest.raises(ValueError, match=match):
        frozen(Function(function)).fit(photos)


def test_preprocessing_must_return_tensors_which_come_in_float32(photos):
    with pytest.raises(ValueError, match="preprocessing returned ndarray; return a tensor"):
        frozen(preprocessing=lambda x: x.numpy()).fit(photos)
    with pytest.raises(ValueError, match="preprocessing and backbone fail on X, uint8"):
        frozen(preprocessing=lambda x: x).fit(photos)  # levels, which the weights cannot take
    Z = frozen().fit_transform(photos)
    double = frozen(preprocessing=lambda x: x.double() / 255).fit_transform(photos)
    np.testing.assert_allclose(double, Z, rtol=1e-4, atol=1e-6)


# -- torchvision's models -----------------------------------------------------------------------


def test_models_by_name_give_what_goes_into_their_classifier(photos):
    backbone = by_name().fit(photos)
    net = backbone.module_.module
    with torch.inference_mode():
        x = TO_64(torch.from_numpy(photos).permute(0, 3, 1, 2))
        hidden = net.classifier[:-1](net.avgpool(net.features(x)).flatten(1))
        maps = net.features(x)
    np.testing.assert_allclose(backbone.transform(photos), hidden, rtol=1e-4, atol=1e-5)
    G = by_name(pool=None).fit_transform(photos)
    np.testing.assert_allclose(G, maps.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


def test_random_weights_are_the_same_at_each_fit_and_leave_the_generators_alone(photos):
    state = torch.get_rng_state()
    Z = by_name().fit_transform(photos)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    np.testing.assert_array_equal(by_name().fit_transform(photos), Z)


HEADS = {
    "alexnet": "classifier.6",
    "vgg11": "classifier.6",
    "resnet18": "fc",
    "squeezenet1_1": "classifier.1",
    "densenet121": "classifier",
    "shufflenet_v2_x0_5": "fc",
    "mobilenet_v2": "classifier.1",
    "mnasnet0_5": "classifier.1",
    "efficientnet_b0": "classifier.1",
    "convnext_tiny": "classifier.2",
    "vit_b_32": "heads.head",
    "swin_t": "head",
    "maxvit_t": "classifier.5",
}


@pytest.mark.parametrize("name", HEADS)
def test_the_classifier_is_found_in_every_family(name):
    with torch.device("meta"):
        assert default_tap(models.get_model(name)).layer == HEADS[name]


@pytest.fixture
def weights_at_home(tmp_path, monkeypatch):
    """A torch home without network, and the file that torchvision looks for there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    file = tmp_path / "hub/checkpoints" / Path(models.get_model_weights(SMALL).DEFAULT.url).name
    torch.manual_seed(1)
    state = models.get_model(SMALL).state_dict()

    def put():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, file)
        return file

    return put


def test_missing_weights_are_named_with_the_place_for_the_file(photos, weights_at_home, capsys):
    backbone = by_name(weights="DEFAULT")
    with pytest.raises(FileNotFoundError) as caught:
        backbone.fit(photos)
    file = weights_at_home()
    message = str(caught.value)
    assert models.get_model_weights(SMALL).DEFAULT.url in message
    assert file.name in message
    assert str(file.parent) in message
    assert "Network is unreachable" in message
    assert isinstance(caught.value.__cause__, OSError)
    Z = backbone.fit_transform(photos)
    assert np.abs(Z - by_name().fit_transform(photos)).max() > 0
    for weights in ("IMAGENET1K_V1", "MobileNet_V3_Small_Weights.IMAGENET1K_V1"):
        again = by_name(weights=weights).fit_transform(photos)
        np.testing.assert_array_equal(again, Z)
    enum = models.MobileNet_V3_Small_Weights.DEFAULT
    np.testing.assert_array_equal(by_name(weights=enum).fit_transform(photos), Z)


@pytest.mark.parametrize("damage", ["empty", "page", "cut", "another"])
def test_a_damaged_file_of_weights_is_named(photos, weights_at_home, capsys, damage):
    file = weights_at_home()
    if damage == "another":
        torch.save(models.get_model("squeezenet1_1").state_dict(), file)
    else:
        cut = {"empty": b"", "page": b"<html>Sign in</html>", "cut": file.read_bytes()[:99999]}
        file.write_bytes(cut[damage])
    with pytest.raises(ValueError, match="does not hold the weights") as caught:
        by_name(weights="DEFAULT").fit(photos)
    assert str(caught.value).startswith(str(file))
    assert models.get_model_weights(SMALL).DEFAULT.url in str(caught.value)


def test_a_model_by_name_is_pickled_without_its_weights(photos, weights_at_home, capsys):
    file = weights_at_home()
    backbone = by_name(weights="DEFAULT").fit(photos)
    Z = backbone.transform(photos)
    data = pickle.dumps(backbone)
    assert len(data) < 20_000 < file.stat().st_size
    np.testing.assert_array_equal(pickle.loads(data).transform(photos), Z)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="put the file"):
        pickle.loads(data)


# -- files --------------------------------------------------------------------------------------


def test_a_module_is_pickled_with_its_weights_once(photos, tmp_path):
    net = nn.Sequential(module(), nn.Flatten(2), nn.Linear(24, 500), nn.Unflatten(2, (20, 25)))
    backbone = frozen(net).fit(photos)
    Z = backbone.transform(photos)
    path = tmp_path / "backbone.joblib"
    joblib.dump(backbone, path)
    size = sum(t.numel() * t.element_size() for t in net.state_dict().values())
    assert size < path.stat().st_size < 1.5 * size
    loaded = joblib.load(path)
    np.testing.assert_array_equal(loaded.transform(photos), Z)
    assert not loaded.backbone[0][0]._forward_hooks
    with torch.no_grad():
        net[0][0].weight.add_(1)  # trained on after the fit
    changed = pickle.loads(pickle.dumps(backbone))
    np.testing.assert_array_equal(changed.transform(photos), Z)
    assert torch.equal(changed.backbone[0][0].weight, net[0][0].weight)
    assert np.abs(changed.fit_transform(photos) - Z).max() > 0.01


def change_setting(net):
    net[0].stride = (1, 1)


def put_hook(net):
    net[0].register_forward_hook(doubled)


def doubled(_, args, output):
    return 2 * output


@pytest.mark.parametrize("change", [change_setting, put_hook])
def test_what_was_fitted_is_pickled_as_it_was(photos, change):
    net = module()
    backbone = frozen(net).fit(photos)
    Z = backbone.transform(photos)
    change(net)
    loaded = pickle.loads(pickle.dumps(backbone))
    np.testing.assert_array_equal(loaded.transform(photos), Z)
    refitted = clone(loaded).fit_transform(photos)
    np.testing.assert_array_equal(refitted, frozen(net).fit_transform(photos))
    assert np.abs(refitted - Z).max() > 0.01


def test_sparse_buffers_are_pickled(photos):
    net = nn.Sequential(module(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Function(halved))
    net[-1].register_buffer("table", torch.eye(8).to_sparse())
    backbone = frozen(net).fit(photos)
    loaded = pickle.loads(pickle.dumps(backbone))
    np.testing.assert_array_equal(loaded.transform(photos), backbone.transform(photos))
    assert loaded.backbone[-1].table.is_sparse


def halved(x):
    return x / 2


def test_what_cannot_be_pickled_is_named(photos, tmp_path):
    net = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    with pytest.raises(TypeError, match=r"^backbone cannot be pickled \(Serialization of param"):
        pickle.dumps(frozen(net))
    with pytest.raises(TypeError, match=r"^preprocessing cannot be pickled"):
        frozen(preprocessing=lambda x: x / 255, memory=str(tmp_path)).fit_transform(photos)


def test_a_memory_that_is_no_folder_is_refused(photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^memory: .*file cannot be made a folder \(.*\)\. "):
        frozen(memory=str(tmp_path / "file")).fit_transform(photos)


def test_copies_have_the_same_features(photos):
    backbone = frozen(layers=["1", "4"]).fit(photos)
    Z = backbone.transform(photos)
    np.testing.assert_array_equal(copy.deepcopy(backbone).transform(photos), Z)
    np.testing.assert_array_equal(clone(backbone).fit_transform(photos), Z)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(by_name())).fit_transform(photos), by_name().fit_transform(photos)
    )


def test_a_device_that_is_missing_becomes_the_cpu(photos):
    backbone = frozen().fit(photos)
    Z = backbone.transform(photos)
    backbone.device = "cuda:7"
    with pytest.warns(UserWarning, match="which this machine lacks"):
        loaded = pickle.loads(pickle.dumps(backbone))
    np.testing.assert_array_equal(loaded.transform(photos), Z)


# -- among scikit-learn's -----------------------------------------------------------------------


def test_modules_have_no_nested_parameters(photos):
    with pytest.raises(ValueError, match=r"has no 'channels' to set\. Set backbone itself"):
        frozen().set_params(backbone__channels=3)


def test_a_column_of_images_beside_others(photos):
    frame = pd.DataFrame({"photo": [*photos], "size": np.arange(40.0)}, index=np.arange(40) + 7)
    beside = ColumnTransformer([("z", frozen(), ["photo"]), ("n", "passthrough", ["size"])])
    found = beside.set_output(transform="pandas").fit_transform(frame)
    names = [f"z__backbonetransformer{i}" for i in range(8)]
    assert found.columns.tolist() == [*names, "n__size"]
    assert found.index.equals(frame.index)
    np.testing.assert_array_equal(found[names], frozen().fit_transform(photos))


def test_names_and_frames(photos):
    backbone = frozen().fit(photos)
    names = [f"backbonetransformer{i}" for i in range(8)]
    assert backbone.get_feature_names_out().tolist() == names
    frame = frozen().set_output(transform="pandas").fit_transform(photos)
    assert frame.columns.tolist() == names
    with pytest.raises(ValueError, match="data frame holds no grid"):
        frozen(pool=None).set_output(transform="pandas").fit_transform(photos)


@pytest.mark.parametrize("copied", [False, True])
def test_a_search_computes_the_features_of_a_fold_once(photos, tmp_path, monkeypatch, copied):
    y = np.arange(40) % 2
    steps = [("backbone", frozen()), ("head", LogisticRegression())]
    pipeline = Pipeline(steps, memory=str(tmp_path))
    if copied:  # as in another process, or tomorrow
        pipeline = pickle.loads(pickle.dumps(pipeline))
    fits, load = [], BackboneTransformer._load
    monkeypatch.setattr(
        BackboneTransformer, "_load", lambda self, data: (fits.append(1), load(self, data))
    )
    GridSearchCV(pipeline, {"head__C": [1, 10, 100]}, cv=2, refit=False).fit(photos, y)
    assert len(fits) == 2
    search = GridSearchCV(pipeline, {"backbone__layers": ["0", "1"]}, cv=2).fit(photos, y)
    assert search.best_params_["backbone__layers"] in ("0", "1")


@pytest.mark.parametrize("make", [frozen, by_name])
def test_with_a_memory_a_search_computes_the_features_of_a_part_once(
    photos, tmp_path, monkeypatch, make
):
    y = np.arange(40) % 2
    model = make_pipeline(make(memory=str(tmp_path)), LogisticRegression())
    sizes, features = [], BackboneTransformer._features

    def counted(self, data):
        sizes.append(len(data))
        return features(self, data)

    monkeypatch.setattr(BackboneTransformer, "_features", counted)
    search = GridSearchCV(model, {"logisticregression__C": [1, 10, 100]}, cv=2).fit(photos, y)
    assert sizes[:3] == [20, 20, 40]  # either half, which is trained on and tested, and all
    Z = pickle.loads(pickle.dumps(search.best_estimator_[0])).transform(photos)
    assert len(sizes) == 3
    np.testing.assert_array_equal(make().fit_transform(photos), Z)
    make(memory=str(tmp_path), pool=None).fit_transform(photos)
    assert len(sizes) == 5  # without a memory, and of other settings


def test_estimators_of_the_package_stand_behind_it(photos, tmp_path):
    y = np.arange(40) % 2
    vae = tiny(z_dim=2, network="mlp", likelihood="gaussian")
    model = make_pipeline(frozen(), vae, LogisticRegression()).fit(photos, y)
    assert model.predict(photos).shape == (40,)
    model[1].save_pretrained(tmp_path)
    loaded = VAETransformer.from_pretrained(tmp_path)
    features = model[0].transform(photos)
    np.testing.assert_array_equal(loaded.transform(features), model[1].transform(features))
    unequal = y * (np.arange(40) < 30)
    augmented = make_pipeline(frozen(), VAEAugmenter(LogisticRegression(), vae=vae))
    assert augmented.fit(photos, unequal).predict(photos).shape == (40,)
    detector = make_pipeline(frozen(), VAEDetector(vae, method="elbo")).fit(photos)
    assert detector.score_samples(photos).shape == (40,)
    again = joblib.load(io.BytesIO(pickle.dumps(model)))
    np.testing.assert_array_equal(again.predict(photos), model.predict(photos))
