"""A trained VAE at work: samples to codes and scores and back, by the chunk, in the user's form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..input._chunks import OfChunk, apply_by_chunks
from ..input._read import read, read_in_place
from ..input._rows import ArrayDataset, Rows
from ..input._samples import from_torch
from ..input._spec import InputSpec, rows_at_once
from ..nn._device import exact_inference, resolve_device, to_device
from ..utils._generators import generators_restored, usual_dtype
from ..utils._memory import explains_memory
from ._row_noise import row_noise

SYMMETRIES: dict[str | None, tuple[tuple[int, ...], ...]] = {
    None: (),
    "horizontal": ((-1,),),
    "both": ((-1,), (-2,), (-2, -1)),
}
"""Axes of each flip that an image is averaged over, beside itself."""
SCALE_ROWS = 2000
"""Rows that the scales of features are taken from, at most."""


def _to_infer(codec: Codec, data: Rows, *args: Any, **kwargs: Any) -> str:
    """Return what was asked for when there was no memory to encode or decode, and a remedy."""
    remedies = ["pass fewer samples at once"]
    remedies += ["fit on smaller images"] if codec.spec.is_image else []
    remedies += ["set device='cpu'"] if codec.device.type != "cpu" else []
    n = "" if data.is_stream else f"{len(data)} "
    return (
        f"encoding or decoding {n}samples of shape {codec.spec.shape}, "
        f"{rows_at_once(codec.spec.shape)} at a time, which fit's batch_size has no part in. You "
        f"can {', or '.join(remedies)}."
    )


@dataclass(frozen=True)
class Codec:
    """A trained module with what it takes to use it.

    It is pickled as plain arrays, and loads on a machine that lacks the device.

    Attributes
    ----------
    recipe : VAERecipe
        What the module was built from, and is again when loaded.
    spec : InputSpec
        The form of samples.
    module : VAE
        On ``device``.
    device : torch.device
        Where the module is.
    asked : str or torch.device, default="auto"
        The device that was asked for, and is again when loaded.
    """

    recipe: Any
    spec: InputSpec
    module: Any
    device: torch.device
    asked: str | torch.device = "auto"

    # -- samples in ------------------------------------------------------------------------------

    def read(self, X: Any, *, names_of: Any, in_place: bool = False) -> Rows:
        """Return the user's X, checked to be in the form of the fitted one.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
        names_of : estimator
            Whose names of columns X must have.
        in_place : bool, default=False
            Whether tensors on the module's GPU may stay there.
        """
        bounded = self.recipe.likelihood.bounded
        if in_place:
            here = next(self.module.parameters()).device  # with its index, unlike ``device``
            return read_in_place(X, names_of, self.spec, here, bounded=bounded)
        return read(X, names_of, self.spec, bounded=bounded)

    def scaled(self, raw: torch.Tensor) -> torch.Tensor:
        """Return raw samples as the network's input, on the device."""
        return self.module.scaling(to_device(raw, self.device))

    def raw(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's samples in the layout and range of the fitted X; uint8 or float."""
        x = self.module.scaling.inverse(x)
        if self.spec.dtype != "uint8":
            return x
        # What is scaled is a new tensor. torch's cast from float straight to uint8 is a
        # scalar loop on CPUs; by way of int16 it takes a quarter of the time.
        return x.round_().clamp_(0, self.spec.white).to(torch.int16).to(torch.uint8)

    @explains_memory(_to_infer)
    def apply(self, data: Rows, function: OfChunk) -> np.ndarray:
        """Return ``function`` of all raw samples, computed by the chunk, in one array."""
        return apply_by_chunks(data, function, self.device, self.spec.shape)

    # -- codes, features and scores out ------------------------------------------------------------

    def encoder(self, features: str = "mean", symmetry: str | None = None) -> OfChunk:
        """Return the function from raw samples to features, averaged over an image's flips.

        Means and standard deviations are times the model's ``latent_scale``.
        """
        model, flips = self.module, SYMMETRIES[symmetry]

        def moments(x: torch.Tensor) -> torch.Tensor:
            q = model.posterior(x)
            loc, scale = q.loc * model.latent_scale, q.scale * model.latent_scale
            return loc if features == "mean" else torch.cat([loc, scale], 1)

        def encode(raw: torch.Tensor) -> torch.Tensor:
            x = self.scaled(raw)
            of = model.raw_hidden if features == "hidden" else moments
            total = of(x)
            for axes in flips:
                total = total + of(x.flip(axes))
            mean = total / (1 + len(flips)) if flips else total
            return model.scaled_hidden(mean) if features == "hidden" else mean

        return encode

    def posterior(self, data: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return ``loc`` and ``scale`` of q(z|x) for each sample, each (n, z_dim)."""

        def moments(raw: torch.Tensor) -> torch.Tensor:
            q = self.module.posterior(self.scaled(raw))
            return torch.cat([q.loc, q.scale], 1)

        loc, scale = np.split(self.apply(data, moments), 2, axis=1)
        return loc, scale

    def scorer(self, n_draws: int, *, importance_weighted: bool = False) -> OfChunk:
        """Return the function from raw samples to bounds on log p(x), from draws of each row's own.

        The ELBO of these draws, or the importance-weighted bound; both (n,).
        """
        of = self.module.importance_weighted if importance_weighted else self.module.elbo

        def bound(raw: torch.Tensor) -> torch.Tensor:
            noise = row_noise(from_torch(raw), n_draws, self.module.z_dim, self.device)
            return of(self.scaled(raw), noise)

        return bound

    # -- samples out -------------------------------------------------------------------------------

    @explains_memory(_to_infer)
    def generate(self, data: Rows, function: OfChunk) -> np.ndarray:
        """Return ``function`` of all rows, scaled samples, in the form of the fitted X."""
        return self.spec.restore(self.apply(data, lambda chunk: self.raw(function(chunk))))

    def decode(self, Z: np.ndarray) -> np.ndarray:
        """Return the mean of p(x|z) for the decoder's inputs Z, in the form of the fitted X."""
        codes = ArrayDataset(np.ascontiguousarray(Z, dtype=np.float32))
        conditional = self.module.conditional
        return self.generate(codes, lambda z: conditional(to_device(z, self.device)).mean)

    # -- persistence -------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = {**vars(self), "module": arrays_of(self.module)}
        del state["device"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(vars(restored(**state)))


def restored(
    recipe: Any, spec: InputSpec, module: dict[str, np.ndarray], asked: str | torch.device
) -> Codec:
    """Return the codec of a module with the state that :func:`arrays_of` returned.

    It is on the device that was asked for, or on the CPU where this machine lacks that.
    """
    # The initial weights are replaced at once, and take no memory in from_pretrained;
    # training may go on with those loaded.
    home = torch.device("meta" if torch.empty(0).is_meta else "cpu")
    device = resolve_device(asked, fallback=True)
    with home, generators_restored(), usual_dtype(), torch.inference_mode(False):
        model = with_arrays(recipe.build(spec), module).to(device).eval()
    return Codec(recipe, spec, model, device, asked)


def arrays_of(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return a model's state as arrays in host memory; the model stays where it is."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def with_arrays(model: torch.nn.Module, arrays: dict[str, np.ndarray]) -> torch.nn.Module:
    """Return the model with the state that :func:`arrays_of` returned.

    A model without memory takes the tensors themselves, which must therefore be as its own; others
    keep theirs, tied ones included.
    """
    # Contiguous copies: strides survive pickling, and arrays of a mapped joblib file are read-only.
    state = {name: torch.from_numpy(np.array(a, order="C")) for name, a in arrays.items()}
    assign = any(p.is_meta for p in model.parameters())
    for name, tensor in model.state_dict().items() if assign else ():
        if (found := state.get(name, tensor).dtype) != tensor.dtype:
            raise ValueError(f"{name} is {found}, but {tensor.dtype} in the model of its config.")
    model.load_state_dict(state, assign=assign)
    return model


def learn_scales(codec: Codec, data: Rows, lr: float) -> None:
    """Set the scales of features and which dimensions are active, from rows spread over the data.

    Refuse a model, trained at the rate ``lr``, whose hidden features have none that is finite.
    """
    model, rows = codec.module, data.spread(len(data), SCALE_ROWS)
    total = torch.zeros(model.n_hidden, dtype=torch.float64, device="cpu")
    squares = torch.zeros_like(total)
    codes, spread = [], []
    with exact_inference():
        for raw in data.read(rows.split(rows_at_once(codec.spec.shape))):
            x = codec.scaled(raw)
            hidden, q = model.raw_hidden(x).cpu().double(), model.posterior(x)
            total += hidden.sum(0)
            squares += hidden.square().sum(0)
            codes.append(q.loc)
            spread.append(q.scale)
        model.set_feature_scale(total / len(rows), squares / len(rows))
        model.set_latent_scale(torch.cat(codes), torch.cat(spread))
    if not torch.stack([total, squares]).isfinite().all():
        raise FloatingPointError(
            "After training the network's activations are infinite or NaN. Use a smaller learning "
            f"rate (lr={lr}), or scale X."
        )
