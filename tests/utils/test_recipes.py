"""Recipes as parameters: searched, shared, compared, hashed; never changed."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass

import joblib
import numpy as np
import pytest
import torch
from helpers import CountFits, synthetic_images, tiny
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC
from sklearn.utils import estimator_html_repr

from sklearn_vae import VAEAugmenter, VAEDetector, VAETransformer
from sklearn_vae.augmentation import Augment
from sklearn_vae.model import (
    IAF,
    LIKELIHOODS,
    POSTERIORS,
    PRIORS,
    Gaussian,
    Likelihood,
    Mixture,
    Vamp,
)
from sklearn_vae.nn import MLP, NETWORKS, Conv, Custom, Network, Patches, ResNet
from sklearn_vae.synthesis import Density, PosteriorSampling, QualityGate

SEARCHED = [
    ("network", MLP((16,)), "hidden", [(8,), (12, 4)]),
    ("network", Patches(MLP((16,)), n_filters=3, size=3), "network__hidden", [(8,), (12,)]),
    ("prior", Vamp(5), "n_components", [3, 4]),
    ("prior", Mixture(5), "n_components", [3, 4]),
    ("posterior", IAF(2, 8), "n_steps", [1, 3]),
    ("likelihood", Gaussian(0.1), "scale", [0.2, "learned"]),
    ("augment", Augment(rotate=5), "shift", [0.1, 0.2]),
]
ALL = [
    *(kind() for kinds in (NETWORKS, LIKELIHOODS, PRIORS, POSTERIORS) for kind in kinds.values()),
    Patches(ResNet((4, 8), blocks=2), size=4),
    Gaussian(0.3),
    IAF(n_hidden=3),
    Augment(rotate=3, fill="border"),
]


@pytest.fixture(scope="module")
def images():
    return synthetic_images(40, 8, 8)


def inside(recipe, name):
    for part in name.split("__"):
        recipe = getattr(recipe, part)
    return recipe


@pytest.mark.parametrize(("name", "recipe", "setting", "values"), SEARCHED)
def test_a_grid_reaches_into_recipes(images, name, recipe, setting, values):
    before = repr(recipe)
    estimator = tiny(**{name: recipe}, max_epochs=1)
    key = f"{name}__{setting}"
    search = GridSearchCV(estimator, {key: values}, cv=2).fit(images)
    assert search.best_params_[key] in values
    best = getattr(search.best_estimator_, name)
    assert inside(best, setting) == search.best_params_[key]
    assert getattr(estimator, name) is recipe
    assert repr(recipe) == before
    if name != "augment":
        assert getattr(search.best_estimator_, name + "_") == best


def test_what_is_fitted_is_what_was_set(images):
    vae = tiny(network=Conv((4,)), prior=Mixture(4), posterior=IAF(1, 6))
    vae.set_params(network__channels=(5, 6), prior__n_components=7, posterior__n_steps=2)
    model = vae.fit(images).module_
    assert [stage[0].out_channels for stage in model.encoder] == [5, 6]
    assert model.prior.loc.shape == (7, 3)
    assert len(model.posterior_head.steps) == 2


@pytest.mark.parametrize("recipe", ALL, ids=repr)
def test_recipes_compare_print_hash_and_pickle(recipe):
    same = pickle.loads(pickle.dumps(recipe))
    assert same == recipe == copy.deepcopy(recipe)
    assert hash(same) == hash(recipe)
    assert joblib.hash(same) == joblib.hash(recipe) == joblib.hash(type(recipe)(**vars_of(recipe)))
    assert repr(same) == repr(recipe)
    known = {
        "Patches": Patches,
        "Conv": Conv,
        "ResNet": ResNet,
        type(recipe).__name__: type(recipe),
    }
    assert eval(repr(recipe), known) == recipe
    for name, value in recipe.get_params().items():
        other = recipe.changed(**{name: value})
        assert other is recipe


def vars_of(recipe):
    return recipe.get_params(deep=False)


@pytest.mark.parametrize("recipe", [r for r in ALL if not isinstance(r, torch.nn.Module)], ids=repr)
def test_recipes_are_frozen_and_shared_by_clones(recipe):
    with pytest.raises(FrozenInstanceError):
        recipe.anything = 1
    assert clone(recipe) is recipe


def test_settings_of_a_likelihood_are_frozen():
    likelihood = Gaussian(0.1)
    with pytest.raises(FrozenInstanceError):
        likelihood.scale = 0.2
    copied = clone(likelihood)
    assert copied == likelihood
    assert copied.changed(scale=0.2) == Gaussian(0.2) != likelihood


def test_custom_modules_are_the_same_after_clone():
    recipe = Custom(torch.nn.Flatten(), torch.nn.Linear(2, 2))
    vae = VAETransformer(network=recipe)
    assert clone(vae).network == recipe


def test_lists_of_widths_are_tuples():
    for one, other in ((Conv([4, 8]), Conv((4, 8))), (MLP([3]), MLP((3,)))):
        assert one == other
        assert hash(one) == hash(other)
        assert repr(one) == repr(other)
    assert ResNet([4]).channels == (4,)


def test_get_params_and_set_params_round_trip():
    network = Patches(Conv((4,)), n_filters=2)
    vae = tiny(network=network, likelihood=Gaussian(0.1), augment=Augment(flip=True))
    params = vae.get_params()
    assert params["network__network__channels"] == (4,)
    assert params["likelihood__scale"] == 0.1
    assert params["augment__flip"] is True
    assert set(vae.get_params(deep=False)) < set(params)
    vae.set_params(**params)
    after = vae.get_params()
    assert after.keys() == params.keys()
    assert all(after[name] is params[name] for name in params)
    assert clone(vae).get_params() == params
    assert "Patches" in estimator_html_repr(vae)


def test_a_new_recipe_and_its_setting_in_one_call():
    vae = tiny(network=MLP((4,))).set_params(network=Conv((4,)), network__batch_norm=True)
    assert vae.network == Conv((4,), batch_norm=True)
    both = {"network__n_filters": 5, "network__network__channels": [3]}
    assert vae.set_params(network=Patches(), **both).network == Patches(
        Conv((3,), batch_norm=True), n_filters=5
    )


def test_recipes_inside_other_estimators():
    shared = Conv((4,))
    vae = tiny(network=shared, prior=Vamp(3))
    classifier = VAEAugmenter(
        make_pipeline(clone(vae), SVC()), vae=vae, method=PosteriorSampling(), augment=Augment()
    )
    outer = Pipeline([("augmented", classifier)])
    outer.set_params(
        augmented__vae__network__channels=(8,),
        augmented__vae__prior__n_components=4,
        augmented__estimator__vaetransformer__network__channels=(2,),
        augmented__method__spread=0.5,
        augmented__augment__rotate=7.0,
    )
    assert classifier.vae.network == Conv((8,))
    assert classifier.vae.prior == Vamp(4)
    assert classifier.estimator[0].network == Conv((2,))
    assert classifier.method.spread == 0.5
    assert classifier.augment == Augment(rotate=7.0)
    assert shared == Conv((4,))
    detector = VAEDetector(vae).set_params(vae__network__batch_norm=True)
    assert detector.vae.network.batch_norm


@pytest.mark.parametrize(
    ("estimator", "params", "remedy"),
    [
        (VAETransformer(), {"network__channels": (4,)}, r"network='auto'.*network=nn\.Conv\(\)"),
        (VAETransformer(), {"network__hidden": (4,)}, r"network=nn\.MLP\(\)"),
        (VAETransformer(network="resnet"), {"network__channels": (4,)}, r"network=nn\.ResNet\(\)"),
        (VAETransformer(), {"network__n_filters": 4}, r"network=nn\.Patches\(\)"),
        (VAETransformer(), {"prior__n_components": 4}, r"prior='normal'.*prior=model\.Mixture\(\)"),
        (VAETransformer(prior="vamp"), {"prior__n_components": 4}, r"prior=model\.Vamp\(\)"),
        (VAETransformer(), {"posterior__n_steps": 4}, r"posterior=model\.IAF\(\)"),
        (VAETransformer(), {"likelihood__scale": 0.1}, r"likelihood=model\.Gaussian\(\)"),
        (
            VAETransformer(),
            {"augment__rotate": 4},
            r"augment='auto'.*augment=augmentation\.Augment\(\)",
        ),
        (
            VAETransformer(augment=0.5),
            {"augment__rotate": 4},
            r"augment=0\.5.*augmentation\.Augment",
        ),
        (VAETransformer(), {"beta__x": 4}, r"beta=1\.0 has no 'x' to set. Set beta itself\."),
        (VAEAugmenter(), {"method__spread": 1}, r"method='auto'.*synthesis\.PosteriorSampling\(\)"),
        (VAEAugmenter(), {"vae__z_dim": 4}, r"vae=None.*vae=VAETransformer\(\)"),
        (
            VAEAugmenter(),
            {"vae__network__channels": (4,)},
            r"vae=VAETransformer\(network=nn\.Conv\(\)\)",
        ),
        (VAEAugmenter(), {"gate__max_rounds": 4}, r"gate=synthesis\.QualityGate\(\)"),
        (VAEAugmenter(), {"augment__flip": True}, r"augment=augmentation\.Augment\(\)"),
        (VAEAugmenter(), {"estimator__C": 4}, r"estimator=None has no 'C' to set"),
        (VAEDetector(), {"vae__z_dim": 4}, r"vae=VAETransformer\(\)"),
        (VAETransformer(), {"network__width": 4}, r"'nn\.Conv': \['channels', 'batch_norm'\]"),
        (
            VAETransformer(network=Conv()),
            {"network__width": 4},
            r"Invalid parameter 'width' for Conv\(.*Valid parameters are: \['channels', 'batch",
        ),
        (VAETransformer(network=Conv()), {"network__channels": (0,)}, "give a tuple of ints"),
        (
            VAETransformer(),
            {"nettwork__channels": 4},
            r"Invalid parameter 'nettwork' for estimator",
        ),
        (QualityGate(), {"classifier__C": 4}, r"classifier=None has no 'C' to set"),
    ],
)
def test_what_has_no_such_setting_says_what_has_and_sets_nothing(estimator, params, remedy):
    before = estimator.get_params()
    other = "max_rounds" if isinstance(estimator, QualityGate) else "random_state"
    with pytest.raises(ValueError, match=remedy) as caught:
        estimator.set_params(**{other: 17, **params})
    assert estimator.get_params() == before
    assert len(str(caught.value)) < 800


def test_the_same_error_reaches_a_search(images):
    with pytest.raises(ValueError, match=r"network=nn\.Conv\(\)"):
        GridSearchCV(tiny(network="auto"), {"network__channels": [(4,)]}, cv=2).fit(images)


def test_a_users_recipes_are_searched_too(images):
    @dataclass(frozen=True)
    class Wide(Network):
        width: int = 4

        def encoder(self, shape):
            return MLP((self.width,)).encoder(shape)

        def decoder(self, z_dim, shape):
            return MLP((self.width,)).decoder(z_dim, shape)

    class Laplace(Likelihood):
        needs_bounded = True

        def __init__(self, scale=0.1):
            super().__init__()
            self.scale = scale

        def forward(self, params):
            return torch.distributions.Laplace(params.sigmoid(), self.scale)

    assert repr(Laplace(0.2)) == "Laplace(scale=0.2)" != repr(Laplace())
    grid = {"network__width": [3, 5], "likelihood__scale": [0.2, 0.3]}
    estimator = tiny(network=Wide(), likelihood=Laplace(), max_epochs=1)
    search = GridSearchCV(estimator, grid, cv=2).fit(images)
    assert search.best_estimator_.network == Wide(search.best_params_["network__width"])
    assert (
        search.best_estimator_.module_.likelihood.scale == search.best_params_["likelihood__scale"]
    )


def test_a_recipe_that_hides_its_arguments_works_but_cannot_be_searched(images):
    class Hides(Network):
        def __init__(self, width, depth=1):
            self._width, self.depth = width, depth

        def encoder(self, shape):
            return MLP((self._width,)).encoder(shape)

        def decoder(self, z_dim, shape):
            return MLP((self._width,)).decoder(z_dim, shape)

    vae = tiny(network=Hides(4), max_epochs=1).fit(images)
    assert vae.get_params()["network__depth"] == 1
    with pytest.raises(ValueError, match=r"does not keep its arguments \['width'\]"):
        vae.set_params(network__depth=2)


def test_caches_know_equal_recipes(images, tmp_path):
    """Fold by fold the VAE is trained once for each value, however many classifiers follow."""
    y = np.arange(len(images)) % 2
    count = CountFits(str(tmp_path / "fits"))
    vae = tiny(network=MLP((8,)), likelihood=Gaussian(0.1), max_epochs=1, callbacks=[count])
    steps = [("vae", vae), ("head", LogisticRegression())]
    grid = {
        "vae__network__hidden": [(6,), (4,)],
        "vae__likelihood__scale": [0.1, 0.2],
        "head__C": [1, 10, 100],
    }
    pipeline = Pipeline(steps, memory=str(tmp_path / "cache"))
    GridSearchCV(pipeline, grid, cv=2, refit=False).fit(images, y)
    assert len((tmp_path / "fits").read_text().splitlines()) == 2 * 2 * 2


def test_a_method_of_the_augmenter_is_searched(images):
    y = np.arange(len(images)) % 2
    augmenter = VAEAugmenter(SVC(), vae=tiny(network=MLP((8,)), max_epochs=1), method=Density())
    grid = {"method__n_components": [1, 2], "vae__network__hidden": [(4,), (5,)]}
    X = images.reshape(len(images), -1)
    augmenter.set_params(vae__image_shape=(8, 8), n_new=2)
    search = GridSearchCV(augmenter, grid, cv=2).fit(X, y)
    assert search.best_estimator_.methods_[0].n_components in (1, 2)
