"""Recipes: settings of a model's part, which never change and which searches can reach."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from inspect import Parameter, signature
from typing import Any, ClassVar, TypeVar

Self = TypeVar("Self", bound="Recipe")
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Recipe:
    """Base of networks, likelihoods, priors, posteriors and augmentations.

    The arguments of a recipe's constructor are its settings, kept under their names. A recipe never
    changes, so that estimators share it. An estimator with ``network=Conv()`` has the parameter
    ``network__channels``; setting it puts a changed copy in the recipe's place.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings; with ``deep`` those of recipes inside, too, as ``name__setting``."""
        settings = {k: getattr(self, k) for k in param_names(type(self)) if hasattr(self, k)}
        for name, part in list(settings.items()) if deep else ():
            if isinstance(part, Recipe):
                settings |= {f"{name}__{k}": v for k, v in part.get_params().items()}
        return settings

    def changed(self: Self, **changes: Any) -> Self:
        """Return a copy with other settings, or the recipe itself where all are as they were.

        Parameters
        ----------
        **changes : dict
            Values by the names that :meth:`get_params` lists.

        Raises
        ------
        ValueError
            For an unknown name, and for what the recipe refuses.
        """
        old = self.get_params(deep=False)
        new, nested = _by_depth(changes)
        for name in (*new, *nested):
            if name not in old:
                what = f"Invalid parameter {name!r} for {self!r:.200}"
                raise ValueError(f"{what}. Valid parameters are: {list(old)!r}.")
        for name, inner in nested.items():
            new[name] = _changed(name, new.get(name, old[name]), inner, {})
        if all(value is old[name] for name, value in new.items()):
            return self
        lost = [name for name in param_names(type(self)) if name not in old]
        if lost:
            what = f"{type(self).__name__} does not keep its arguments {lost!r} under their names"
            raise ValueError(f"{what}, which a changed copy needs. Assign them in its constructor.")
        return type(self)(**{**old, **new})

    def __sklearn_clone__(self: Self) -> Self:
        """Return the recipe itself: clones of an estimator share what never changes."""
        return self


def is_own(setting: Any) -> bool:
    """Return whether nothing of a setting is code of the user's: no class, module or function."""
    if not isinstance(setting, Recipe):
        return not callable(setting)
    own = type(setting).__module__.partition(".")[0] == __name__.partition(".")[0]
    return own and all(map(is_own, setting.get_params(deep=False).values()))


class NestedParamsMixin:
    """``set_params`` that reaches into recipes, for an estimator that takes them as parameters."""

    _kinds: ClassVar[Mapping[str, Mapping[Any, type]]] = {}
    """Per parameter the classes of objects that it takes, by the names that stand for them."""

    def set_params(self, **params: Any) -> Any:
        """Set parameters of the estimator, its recipes (as changed copies) and its parts.

        Parameters
        ----------
        **params : dict
            Values by the names that ``get_params`` lists.

        Returns
        -------
        self : object
            The estimator. Where this raises for a recipe, nothing was set.

        Raises
        ------
        ValueError
            For an unknown name, and for ``part__name`` where the part is no object but, say, the
            name of one.
        """
        known = self.get_params(deep=False)  # type: ignore[attr-defined]
        new, nested = _by_depth(params)
        unknown = {k: v for k, v in params.items() if k.partition("__")[0] not in known}
        if unknown:  # scikit-learn says what is wrong, with nothing set yet
            return super().set_params(**unknown)  # type: ignore[misc]
        for name, changes in nested.items():
            value = new.get(name, known[name])
            if hasattr(value, "set_params"):  # scikit-learn hands them on
                new |= {f"{name}__{inside}": v for inside, v in changes.items()}
            else:
                new[name] = _changed(name, value, changes, self._kinds.get(name, {}))
        return super().set_params(**new)  # type: ignore[misc]


def param_names(cls: type) -> list[str]:
    """Return the names of a constructor's arguments."""
    return [p.name for p in signature(cls).parameters.values() if p.kind not in VARIADIC]


def _by_depth(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the values of plain names, and for each part those of ``part__name``."""
    plain = {key: value for key, value in params.items() if "__" not in key}
    nested: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, value in params.items():
        if key not in plain:
            name, _, rest = key.partition("__")
            nested[name][rest] = value
    return plain, nested


def _changed(name: str, value: Any, changes: dict[str, Any], kinds: Mapping[Any, type]) -> Any:
    """Return a recipe with changes; ValueError, with the remedy, for what has no settings."""
    if isinstance(value, Recipe):
        return value.changed(**changes)
    wanted = next(iter(changes))
    named = [kinds[value]] if isinstance(value, str) and value in kinds else []
    example = _example([*named, *kinds.values()], wanted)
    known = {_public_name(kind): param_names(kind) for kind in kinds.values()}
    if not known:
        remedy = f"Set {name} itself."
    elif example:
        remedy = f"Give an object in its place: {name}={example}."
    else:
        remedy = f"Valid parameters are, by the object in its place: {known!r}."
    what = f"{name}={value!r:.100} has no {wanted!r} to set"
    raise ValueError(f"Invalid parameter {name}__{wanted}: {what}. {remedy}")


def _example(kinds: Iterable[type], wanted: str) -> str:
    """Return the call that makes an object with such a parameter, or ""."""
    name, _, inside = wanted.partition("__")
    for kind in kinds:
        if name in param_names(kind):
            parts = getattr(kind, "_kinds", {}).get(name, {})
            inner = _example(parts.values(), inside) if inside else ""
            return f"{_public_name(kind)}({name}={inner})" if inner else f"{_public_name(kind)}()"
    return ""


def _public_name(kind: type) -> str:
    """Return how a user who has imported the package's parts calls a class: ``nn.Conv``."""
    *modules, _ = kind.__module__.split(".")
    rooms = [room for room in modules[1:] if not room.startswith("_")]
    return ".".join([*rooms, kind.__name__])
