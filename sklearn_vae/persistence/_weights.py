"""Weights as a safetensors file, and what keeps a model of a file within their size."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from threading import get_ident
from typing import BinaryIO

import numpy as np
import torch
from torch.nn.modules import module as hooks

from ._config import FORMAT, FORMAT_VERSION, named, read

MAX_HEADER = 2**24
"""Bytes of what comes before the weights, the config included: some 40,000 epochs of history."""
LAYER = 1000
"""Values that take about as much memory as a layer without any."""
POSITIVE = ("feature_scale", "latent_scale", "scaling.scale", "base.scale", "running_var")
"""What the names of scales and variances end in; of them no root can be taken below zero."""

Arrays = dict[str, np.ndarray]


@contextmanager
def no_larger_than(arrays: Arrays) -> Iterator[None]:
    """Let no model without memory be built that is more than twice as large.

    It is stopped at the first tensor too many, before anything runs through it. Twice, so that one
    which is a little larger is compared, and what is too much is named.
    """
    left, thread = sum(2 * (LAYER + array.size) for array in arrays.values()), get_ident()

    def count(_: torch.nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal left
        if tensor is not None and tensor.is_meta and get_ident() == thread:
            left -= LAYER + tensor.numel()
            if left < 0:
                raise ValueError("its config describes a larger model than it holds weights of.")

    parameters = hooks.register_module_parameter_registration_hook(count)
    with parameters, hooks.register_module_buffer_registration_hook(count):
        yield


def to_parts(config: str, weights: Arrays) -> list[bytes | memoryview]:
    """Return a safetensors file in parts. Its header is our own: theirs has no settled order."""
    from safetensors.numpy import save  # only where it is needed

    # In C order: safetensors writes memory as it lies, and NumPy keeps torch's channels-last.
    arrays = {name: np.array(array, order="C") for name, array in weights.items()}
    content = memoryview(save(arrays))
    begin = 8 + int.from_bytes(content[:8], "little")
    metadata = {"format": "pt", FORMAT: config, "sha256": checksum(config, arrays)}
    header = {"__metadata__": metadata, **json.loads(bytes(content[8:begin]))}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # as the format has it: weights begin at a multiple of 8
    if len(text) > MAX_HEADER:
        raise ValueError(
            f"The folder's config would take {len(text)} bytes, of which {MAX_HEADER} can be read: "
            "history_, feature_names_in_ or classes_ are too long. joblib.dump keeps them."
        )
    return [len(text).to_bytes(8, "little"), text, content[begin:]]


def from_file(file: BinaryIO) -> tuple[str, Arrays]:
    """Return the config and the arrays, which are finite and as they were written.

    Before anything is allocated, the header is compared with the size of the file. The file is
    read, not mapped: a program that cut it short meanwhile would end this one.
    """
    import safetensors.numpy  # only where it is needed

    with named("no safetensors file of a model; get it again", safetensors.SafetensorError):
        size, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER:
            raise ValueError(f"it announces a header of {length} bytes; {MAX_HEADER} can be read")
        header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("its header is no JSON object")
        metadata = read(dict[str, str], header.pop("__metadata__", {}))
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != size:
            raise ValueError(f"its header describes {end} bytes, but it has {size}")
        file.seek(0)
        arrays = safetensors.numpy.load(file.read(size))
    if FORMAT not in metadata:
        raise ValueError(
            "it holds weights without the config that save_pretrained writes into it since "
            f"format_version={FORMAT_VERSION}. Save the model again."
        )
    if metadata.get("sha256") != checksum(metadata[FORMAT], arrays):
        raise ValueError("it is damaged: its checksum is that of other contents. Get it again.")
    for name, array in arrays.items():
        with named(f"{name:.100}"):
            _check_values(name, array)
    return metadata[FORMAT], arrays


def checksum(config: str, arrays: Arrays) -> str:
    """Return a digest of all that a file says; its header says how long each part is."""
    digest = sha256(config.encode())
    for name in sorted(arrays):
        digest.update(np.atleast_1d(arrays[name]).view(np.uint8).data)
    return digest.hexdigest()


def _check_values(name: str, array: np.ndarray) -> None:
    if not array.size or not np.isfinite(array).all():
        raise ValueError("values that are not finite, or none. Get it again.")
    if name.endswith(POSITIVE) and array.min() < 0:
        raise ValueError("values below zero. Get it again.")
    if array.dtype == bool and array.view(np.uint8).max() > 1:
        raise ValueError("values that are no bools. Get it again.")
