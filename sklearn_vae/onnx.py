"""Fitted VAEs, alone or as a step of a scikit-learn pipeline, as ONNX models.

:func:`to_onnx` exports the encoder or the decoder; after :func:`register`, ``skl2onnx.to_onnx``
converts whole pipelines. Needs the extra ``onnx``: ``pip install "sklearn-vae[onnx]"``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._augmenter import VAEAugmenter
from ._backbone import BackboneTransformer
from ._classifier import VAEClassifier
from ._detector import VAEDetector
from ._transformer import VAETransformer
from .datasets import ImageReader
from .input._spec import check_same
from .model._codec import Codec, OfChunk, arrays_of, restored

EXTRA = 'pip install "sklearn-vae[onnx]"'
try:
    import onnx
    import onnxscript  # noqa: F401 (torch's exporter is written in it)
except ImportError as error:
    raise ImportError(f"sklearn_vae.onnx needs {error.name}: {EXTRA}.") from error

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope

__all__ = ["register", "to_onnx"]

MIN_OPSET = 18
"""What torch's exporter writes; it converts upward only."""
CLASSIFIER = "SklearnVAEClassifier"
DETECTOR = (
    "VAEDetector has no ONNX form: its densities are no network. Its VAEs have: "
    "[to_onnx(vae) for vae in detector.vaes_]."
)
READER = (
    "ImageReader has no ONNX form: ONNX reads no files. Convert what is behind it: pipeline[1:], "
    "with images as X."
)
REFUSED = {VAEDetector: DETECTOR, ImageReader: READER}
SAMPLER = (
    "VAEAugmenter as a sampler has no ONNX form: it acts in fit alone. Convert the pipeline that "
    "it is in, which predicts without it."
)


def to_onnx(
    vae: VAETransformer, part: str = "encoder", *, target_opset: int = MIN_OPSET
) -> onnx.ModelProto:
    """Return one half of a fitted VAE as an ONNX model, scaling and layout included.

    Parameters
    ----------
    vae : VAETransformer
        A fitted one.
    part : {"encoder", "decoder"}, default="encoder"
        - ``"encoder"``: input ``X``, samples as :meth:`~sklearn_vae.VAETransformer.transform` takes
          them, in the dtype of the fitted X; output ``Z``, what ``transform`` returns for the
          present ``features``.
        - ``"decoder"``: input ``Z``, float32 (n, z_dim); output ``X``, what
          :meth:`~sklearn_vae.VAETransformer.inverse_transform` returns.

        The number of samples, n, is free.
    target_opset : int, default=18
        Version of ONNX's operators, at least 18.

    Returns
    -------
    model : onnx.ModelProto
        ``onnx.save(model, path)`` writes it to a file.

    Raises
    ------
    TypeError
        When ``vae`` is no VAETransformer.
    ValueError
        For an unknown part, or an opset that torch cannot write.

    See Also
    --------
    register : For pipelines and the package's other estimators, and what has no ONNX form.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.onnx import to_onnx
    >>> X = np.random.default_rng(0).random((50, 8, 8), dtype=np.float32)
    >>> vae = VAETransformer(2, network="mlp", max_epochs=1, device="cpu").fit(X)
    >>> model = to_onnx(vae)
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> (Z,) = session.run(None, {"X": X})
    >>> bool(np.allclose(Z, vae.transform(X), atol=1e-4))
    True
    """
    if not isinstance(vae, VAETransformer):
        raise TypeError(f"to_onnx takes a VAETransformer, not {type(vae).__name__}. {_remedy(vae)}")
    check_is_fitted(vae)
    if part == "encoder":
        return _encoder(vae, vae.spec_.dtype, target_opset)
    if part != "decoder":
        raise ValueError(f"part={part!r}; use 'encoder' or 'decoder'.")
    codec = _on_cpu(vae)
    dtype = torch.from_numpy(codec.spec.restore(np.zeros(1, np.float32))).dtype

    def decode(Z: torch.Tensor) -> torch.Tensor:
        x = codec.raw(codec.module.conditional(Z / codec.module.latent_scale).mean)
        return x > 0.5 if dtype == torch.bool else x.to(dtype)

    codes = torch.zeros(2, codec.module.z_dim, device="cpu")
    return _exported(_Half(codec, decode), codes, "Z", "X", target_opset)


def register() -> None:
    """Teach skl2onnx the package's estimators, and what FrozenEstimator and VAEAugmenter hold.

    After one call ``skl2onnx.to_onnx(pipeline, X[:1])`` converts any pipeline whose other steps
    skl2onnx knows. It changes skl2onnx's own table, which is why importing does not do it.

    - A VAEClassifier returns labels and an array of probabilities.
    - A VAEAugmenter around a classifier becomes its ``estimator_``. One that is a sampler, as any
      other, is left out of imbalanced-learn's pipeline, which predicts without it.
    - An ImageReader has no ONNX form: ONNX reads no files. Convert ``pipeline[1:]``, and give it
      what ``pipeline[:1].transform(paths)`` returns.
    - A VAEDetector has none either, behind a backbone or not: ``[to_onnx(vae) for vae in
      detector.vaes_]`` converts what it trained.

    In a FeatureUnion skl2onnx 1.20 takes the type of X for that of the features: convert with
    ``X[:1].astype(np.float32)`` where X is float64.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> import skl2onnx
    >>> import sklearn_vae.onnx
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_vae import VAETransformer
    >>> X = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    >>> y = (X.mean((1, 2)) > 127).astype(int)
    >>> vae = VAETransformer(2, network="mlp", max_epochs=1, device="cpu")
    >>> pipeline = make_pipeline(vae, LogisticRegression()).fit(X, y)
    >>> sklearn_vae.onnx.register()
    >>> model = skl2onnx.to_onnx(pipeline, X[:1])
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> labels, probabilities = session.run(None, {"X": X})
    >>> bool((labels == pipeline.predict(X)).all())
    True
    """
    try:
        from skl2onnx import update_registered_converter, update_registered_parser
    except ImportError as error:
        raise ImportError(f"register needs skl2onnx: {EXTRA}.") from error
    for step in (VAETransformer, BackboneTransformer):
        update_registered_converter(step, _alias(step), _set_shape, _convert, parser=_parse)
    update_registered_converter(
        VAEClassifier,
        CLASSIFIER,
        _set_class_shapes,
        _convert_classifier,
        parser=_parse_classifier,
        options={"zipmap": [False]},  # as other classifiers are asked for arrays
    )
    kinds: list[type] = [FrozenEstimator, VAEAugmenter]
    with suppress(ImportError):
        from imblearn.pipeline import Pipeline as ResamplingPipeline

        kinds.append(ResamplingPipeline)
    for kind in kinds:
        alias = f"SklearnInner{kind.__name__}"
        update_registered_converter(
            kind, alias, _any_shape, _convert_inner, parser=_parse_inner, options="passthrough"
        )
    for kind in REFUSED:
        update_registered_parser(kind, _refuse)


def _remedy(estimator: Any) -> str:
    """Return what to export instead."""
    name = {VAEClassifier: "classifier", BackboneTransformer: "backbone"}.get(
        type(estimator), "pipeline"
    )
    for kind, remedy in REFUSED.items():
        if isinstance(estimator, kind):
            return remedy
    if isinstance(estimator, FrozenEstimator):
        return "Pass what is inside: to_onnx(frozen.estimator)."
    if isinstance(estimator, VAEAugmenter):
        if estimator.estimator is None:
            return SAMPLER
        name = "augmenter.estimator_"
    return f"Call sklearn_vae.onnx.register() once, then skl2onnx.to_onnx({name}, X[:1])."


def _on_cpu(vae: VAETransformer) -> Codec:
    """Return a copy of a VAE's codec in host memory."""
    codec = vae.codec_
    return restored(codec.recipe, codec.spec, arrays_of(codec.module), "cpu")


def _encoder(vae: VAETransformer, dtype: Any, opset: int) -> onnx.ModelProto:
    vae.check_features()
    codec = _on_cpu(vae)
    return _of_raw(codec, codec.encoder(vae.features, vae.symmetry), dtype, "Z", opset)


def _of_raw(
    codec: Codec, function: OfChunk, dtype: Any, returns: str, opset: int
) -> onnx.ModelProto:
    """Return a function of raw samples, input ``X``, as a model."""
    raw = torch.from_numpy(np.zeros((2, *codec.spec.raw_shape), dtype))
    return _exported(_Half(codec, function), raw, "X", returns, opset)


def _features(backbone: BackboneTransformer, dtype: Any, opset: int) -> onnx.ModelProto:
    raw = torch.from_numpy(np.zeros((2, *backbone.spec_.raw_shape), dtype))
    return _exported(backbone.module_.exportable(), raw, "X", "Z", opset)


class _Half(torch.nn.Module):
    """A function of the batch as a module that owns the weights behind it."""

    def __init__(self, codec: Codec, function: OfChunk) -> None:
        super().__init__()
        self.model = codec.module
        self.function = function

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.function(batch)


def _exported(
    half: torch.nn.Module, example: torch.Tensor, takes: str, returns: str, opset: int
) -> onnx.ModelProto:
    if opset < MIN_OPSET:
        raise ValueError(f"target_opset={opset}: torch's exporter needs {MIN_OPSET} or later.")
    with torch.device("cpu"):  # the exporter fails under another default
        program = torch.onnx.export(
            half.eval(),
            (example,),
            input_names=[takes],
            output_names=[returns],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # with dynamo=True
    model = program.model_proto
    found = next(entry.version for entry in model.opset_import if not entry.domain)
    if found != opset:
        raise ValueError(f"target_opset={opset}: torch's exporter made {found}. Ask for that.")
    for item in (*model.graph.node, *model.graph.value_info):
        del item.metadata_props[:]  # stack traces with the paths of this machine
    return model


# -- skl2onnx's hooks ----------------------------------------------------------------------------


def _alias(kind: type) -> str:
    return f"Sklearn{kind.__name__}"


def _parse(scope: Scope, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    """Declare the step and, for classifiers behind a float64 input, that it returns float32."""
    from skl2onnx.common.data_types import FloatTensorType

    operator = scope.declare_local_operator(_alias(type(model)), model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("Z", FloatTensorType()))
    return operator.outputs


def _inner(model: Any) -> Any:
    """Return the fitted estimator that a step stands for when it predicts."""
    if isinstance(model, FrozenEstimator):
        return model.estimator
    if isinstance(model, Pipeline):  # imbalanced-learn's
        return Pipeline([(name, step) for name, step in model.steps if not _is_sampler(step)])
    if model.estimator is None:
        raise TypeError(SAMPLER)
    check_is_fitted(model)
    return model.estimator_


def _parse_inner(
    scope: Scope, model: Any, inputs: list[Any], custom_parsers: Any = None
) -> list[Any]:
    """Take the fitted estimator inside for the step."""
    from skl2onnx._parse import parse_sklearn

    inner = _inner(model)
    if options := scope.get_options(model):
        scope.add_options(id(inner), options)
    outputs: list[Any] = parse_sklearn(scope, inner, inputs, custom_parsers=custom_parsers)
    for each in outputs:
        each.init_status(is_leaf=False)  # which is for whoever called to say
    return outputs


def _is_sampler(step: Any) -> bool:
    return hasattr(step, "fit_resample") and not hasattr(step, "predict")


def _convert_inner(scope: Scope, operator: Operator, container: ModelComponentContainer) -> None:
    """Add the estimator inside where an ensemble has declared one operator for each of its own."""
    for each in (scope, container):
        each.add_options(id(_inner(operator.raw_operator)), {"zipmap": False})
    outputs = _parse_inner(scope, operator.raw_operator, operator.inputs)
    for source, target in zip(outputs, operator.outputs, strict=True):
        _join(scope, container, source.full_name, target.full_name)


def _join(scope: Scope, container: ModelComponentContainer, source: str, target: str) -> None:
    """Let one name stand for another's values."""
    name = scope.get_unique_operator_name("Identity")
    container.add_node("Identity", source, target, name=name)


def _any_shape(operator: Operator) -> None:
    """Leave the outputs as the ensemble has declared them."""


def _refuse(scope: Scope, model: Any, inputs: list[Any], custom_parsers: Any = None) -> None:
    raise TypeError(REFUSED[type(model)])


def _set_shape(operator: Operator) -> None:
    """Check the input's type and set the output's shape."""
    step = operator.raw_operator
    is_vae = isinstance(step, VAETransformer)
    sizes = [len(step.get_feature_names_out())] if is_vae else step.module_.settings.output_shape
    operator.outputs[0].type.shape = [_checked_rows(operator, step), *sizes]


def _checked_rows(operator: Operator, step: VAETransformer | BackboneTransformer) -> Any:
    """Check that the input's type is what the step was fitted on; return its number of rows."""
    name = "the VAE" if isinstance(step, VAETransformer) else "the backbone"
    if len(operator.inputs) != 1:
        n = len(operator.inputs)
        raise ValueError(f"T{name[1:]} takes one input; got {n}: convert with X[:1].to_numpy().")
    shape, fitted = operator.inputs[0].type.shape, step.spec_.raw_shape
    if tuple(shape[1:]) != fitted:
        raise ValueError(
            f"The input's type has shape {shape}, but {name} was fitted on samples of shape "
            f"{fitted}. Give X[:1], or initial_types=[('X', ...TensorType({[None, *fitted]}))]."
        )
    sample = np.zeros((1, *fitted), _dtype(operator))
    is_vae = isinstance(step, VAETransformer)
    bounded = step.likelihood_.bounded if is_vae else step.spec_.is_image
    check_same(sample, step.spec_, bounded=bounded)
    return shape[0]


def _dtype(operator: Operator) -> np.dtype:
    elem_type = operator.inputs[0].type.to_onnx_type().tensor_type.elem_type
    return onnx.helper.tensor_dtype_to_np_dtype(elem_type)


def _convert(scope: Scope, operator: Operator, container: ModelComponentContainer) -> None:
    """Add the graph of an encoder or a backbone to the pipeline's."""
    step = operator.raw_operator
    graph_of = _encoder if isinstance(step, VAETransformer) else _features
    model = graph_of(step, _dtype(operator), container.target_opset)
    _append(scope, container, model, operator.inputs[0].full_name, operator.outputs[0].full_name)


def _append(
    scope: Scope, container: ModelComponentContainer, model: onnx.ModelProto, takes: str, to: str
) -> None:
    """Add a model's graph to the pipeline's, between two names."""
    prefix = scope.get_unique_operator_name("Step")
    graph = onnx.compose.add_prefix_graph(model.graph, prefix + "/")
    _fill_gaps(graph, prefix)
    container.nodes.extend(graph.node)
    container.initializers.extend(graph.initializer)
    for opset in model.opset_import:
        container.node_domain_version_pair_sets.add((opset.domain, opset.version))
    _join(scope, container, takes, graph.input[0].name)
    _join(scope, container, graph.output[0].name, to)


def _parse_classifier(
    scope: Scope, model: Any, inputs: list[Any], custom_parsers: Any = None
) -> list[Any]:
    """Declare labels, of the classes' type, and probabilities."""
    from skl2onnx.common import data_types

    kind = {"i": "Int64", "u": "Int64", "b": "Int64", "f": "Float"}.get(model.classes_.dtype.kind)
    operator = scope.declare_local_operator(CLASSIFIER, model)
    operator.inputs = inputs
    types = getattr(data_types, f"{kind or 'String'}TensorType"), data_types.FloatTensorType
    for name, of_type in zip(("label", "probabilities"), types, strict=True):
        operator.outputs.append(scope.declare_local_variable(name, of_type()))
    return operator.outputs


def _set_class_shapes(operator: Operator) -> None:
    """Check the input's type and set the shapes of both outputs."""
    model = operator.raw_operator
    n = _checked_rows(operator, model.vae_)
    operator.outputs[0].type.shape = [n]
    operator.outputs[1].type.shape = [n, len(model.classes_)]


def _convert_classifier(
    scope: Scope, operator: Operator, container: ModelComponentContainer
) -> None:
    """Add VAE and heads, and the label of the largest probability."""
    classifier = operator.raw_operator
    codec = _on_cpu(classifier.vae_)
    scores = classifier.scorer(codec)
    model = _of_raw(
        codec, lambda raw: scores(raw).softmax(1), _dtype(operator), "P", container.target_opset
    )
    label, probabilities = (output.full_name for output in operator.outputs)
    _append(scope, container, model, operator.inputs[0].full_name, probabilities)
    classes, largest = (scope.get_unique_variable_name(name) for name in ("classes", "largest"))
    values = classifier.classes_
    kind = operator.outputs[0].type.to_onnx_type().tensor_type.elem_type
    values = values.astype(str).tolist() if values.dtype.kind in "OUS" else values.tolist()
    container.add_initializer(classes, kind, [len(values)], values)
    for kind, inputs, output, more in (
        ("ArgMax", [probabilities], largest, {"axis": 1, "keepdims": 0}),
        ("Gather", [classes, largest], label, {"axis": 0}),
    ):
        name = scope.get_unique_operator_name(kind)
        container.add_node(kind, inputs, output, name=name, op_version=13, **more)


def _fill_gaps(graph: onnx.GraphProto, prefix: str) -> None:
    """Name the inputs that nodes leave out, which skl2onnx would take for missing ones."""
    empty = onnx.helper.make_tensor(f"{prefix}/none", onnx.TensorProto.FLOAT, [0], [])
    gaps = [(node, i) for node in graph.node for i, name in enumerate(node.input) if not name]
    for node, i in gaps:
        if node.op_type != "Resize":
            raise NotImplementedError(  # of those that torch exports only Resize has been met
                f"skl2onnx cannot place a {node.op_type} whose optional inputs are left out. "
                "Export the VAE alone: sklearn_vae.onnx.to_onnx(vae)."
            )
        node.input[i] = empty.name
    graph.initializer.extend([empty] if gaps else [])
