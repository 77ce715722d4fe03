"""What type checkers allow and what validation allows are the same words."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from sklearn.utils._param_validation import StrOptions

from sklearn_vae import BackboneTransformer, VAEAugmenter, VAEDetector, VAETransformer
from sklearn_vae.datasets import ImageReader, fetch_images
from sklearn_vae.synthesis import N_NEW

ESTIMATORS = [VAETransformer, VAEDetector, VAEAugmenter, BackboneTransformer, ImageReader]


def _words(hint: Any) -> Iterator[str]:
    """Yield the strings that an annotation allows by name."""
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    else:
        for part in get_args(hint):
            yield from _words(part)


def _options(constraints: list[Any]) -> set[str]:
    return {w for c in constraints if isinstance(c, StrOptions) for w in c.options}


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_annotations_name_the_words_that_parameters_take(cls):
    hints = get_type_hints(cls.__init__)
    words = {name: set(_words(hints[name])) for name in cls._parameter_constraints}
    allowed = {name: _options(c) for name, c in cls._parameter_constraints.items()}
    if cls is VAEAugmenter:
        allowed["n_new"] = set(N_NEW)  # what else is text is explained when it is counted
    assert words == allowed
    assert any(words.values())


def test_annotations_name_the_parts_of_a_set():
    constraints = fetch_images._skl_parameter_constraints
    hints = get_type_hints(fetch_images)
    assert set(_words(hints["subset"])) == _options(constraints["subset"])
