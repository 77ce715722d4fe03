"""A trained module at work: the same results by every way to them."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import synthetic_images, tiny

from sklearn_vae.input._rows import ArrayDataset
from sklearn_vae.model import VAERecipe
from sklearn_vae.model._codec import arrays_of, restored
from sklearn_vae.nn import Conv


@pytest.fixture(scope="module")
def vae(images):
    return tiny(network=Conv((4,), batch_norm=True)).fit(images)


def test_codes_and_what_they_decode_to_are_the_estimators(vae, images):
    codec = vae.codec_
    data = codec.read(images, names_of=vae)
    mean, std = codec.posterior(data)
    np.testing.assert_array_equal(mean, vae.transform(images))
    assert (std > 0).all()
    np.testing.assert_array_equal(codec.decode(mean), vae.inverse_transform(mean))
    np.testing.assert_allclose(codec.decode(mean), vae.reconstruct(images), atol=1e-6)
    bound = codec.apply(data, codec.scorer(8))
    np.testing.assert_array_equal(bound, vae.score_samples(images))


@pytest.mark.parametrize("symmetry", [None, "horizontal", "both"])
def test_the_average_over_flips_is_that_of_flipped_images(vae, images, symmetry):
    flips = {None: [], "horizontal": [(2,)], "both": [(2,), (1,), (1, 2)]}[symmetry]
    codec = vae.codec_
    each = [
        codec.posterior(ArrayDataset(np.flip(images, axes) if axes else images))[0]
        for axes in [(), *flips]
    ]
    found = codec.apply(ArrayDataset(images), codec.encoder("mean", symmetry))
    np.testing.assert_allclose(found, np.mean(each, 0), atol=1e-6)


def test_it_is_pickled_without_its_device_and_looks_for_the_one_asked_for(vae, images):
    state = vae.codec_.__getstate__()
    assert state.keys() == {"recipe", "spec", "module", "asked"}
    assert all(isinstance(array, np.ndarray) for array in state["module"].values())
    loaded = pickle.loads(pickle.dumps(vae.codec_))
    assert loaded.device == torch.device("cpu")
    np.testing.assert_array_equal(loaded.posterior(ArrayDataset(images))[0], vae.transform(images))
    elsewhere = pickle.dumps(replace(vae.codec_, asked="cuda:7"))
    with pytest.warns(UserWarning, match=r"device='cuda:7', which this machine lacks"):
        assert pickle.loads(elsewhere).device == torch.device("cpu")


def test_a_copy_shares_no_memory(vae):
    codec = vae.codec_
    copied = restored(codec.recipe, codec.spec, arrays_of(codec.module), "cpu")
    with torch.no_grad():
        for parameter in copied.module.parameters():
            parameter.zero_()
    assert any(parameter.any() for parameter in vae.module_.parameters())


def test_a_state_of_another_model_is_refused(vae):
    other = replace(vae.codec_.recipe, z_dim=5)
    with pytest.raises(RuntimeError, match="size mismatch"):
        restored(other, vae.spec_, arrays_of(vae.module_), "cpu")


def test_a_recipe_says_what_parameters_stand_for():
    X = synthetic_images(20, 8, 8, dtype="uint8")
    vae = tiny(network="auto", likelihood="auto", prior="vamp")
    _, spec, recipe = vae.read_training(X)
    assert recipe == VAERecipe.resolve(vae.get_params(deep=False), spec)
    assert repr(recipe.network) == repr(Conv((64, 128), batch_norm=True))  # of a tiny image
    assert type(recipe.prior).__name__ == "Vamp"
    assert recipe.likelihood.bounded
    fitted = vae.fit(X)
    assert fitted.codec_.recipe == recipe
    torch.manual_seed(0)
    first = recipe.build(spec, X)
    torch.manual_seed(0)
    again = recipe.build(spec, X).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.state_dict().items())
