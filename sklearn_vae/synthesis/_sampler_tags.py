"""What imbalanced-learn's tools look for in the tags of a sampler."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sklearn.utils import InputTags, Tags


@dataclass
class _SamplerTags:
    sample_indices: bool = False


@dataclass
class _SamplerInputTags(InputTags):
    dataframe: bool = True


@dataclass
class _TagsOfSampler(Tags):
    sampler_tags: _SamplerTags | None = None


def sampler_tags(tags: Tags) -> Tags:
    """Return scikit-learn's tags of an estimator as those of a sampler, of rows or images."""
    values = {f.name: getattr(tags, f.name) for f in fields(tags)}
    inputs = {f.name: getattr(tags.input_tags, f.name) for f in fields(tags.input_tags)}
    inputs["three_d_array"] = True
    values["input_tags"] = _SamplerInputTags(**inputs)
    values["estimator_type"] = "sampler"
    return _TagsOfSampler(**values, sampler_tags=_SamplerTags())
