"""What a bug report needs: versions, devices, and what "auto" makes of them."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from .nn._device import resolve_device
from .training._precision import has_fast_bfloat16

PACKAGES = (
    *("scikit-learn", "torch", "torchvision", "skorch", "numpy", "scipy", "joblib"),
    *("pillow", "safetensors", "tqdm"),
)
OPTIONAL = (
    *("matplotlib", "pydicom", "onnx", "onnxruntime", "onnxscript", "skl2onnx"),
    *("pandas", "imbalanced-learn", "skops", "huggingface_hub"),
)


def show_versions() -> None:
    """Print versions, devices and what ``device="auto"`` and ``precision="auto"`` take here.

    The same as ``python -m sklearn_vae``; for bug reports.

    See Also
    --------
    sklearn.show_versions : Also tells which BLAS and OpenMP libraries are loaded.

    Examples
    --------
    >>> import sklearn_vae
    >>> sklearn_vae.show_versions()
    <BLANKLINE>
    System
                python: ...
    """
    from . import __version__  # here, because the package imports this module

    sections = {
        "System": {
            "python": f"{platform.python_version()} ({platform.python_implementation()})",
            "platform": platform.platform(),
            "machine": platform.machine(),
        },
        "Packages": {"sklearn-vae": __version__} | {name: _version(name) for name in PACKAGES},
        "Optional packages": {name: _version(name) for name in OPTIONAL},
        "Devices": _devices(),
    }
    lines = []
    for title, entries in sections.items():
        lines += ["", title, *(f"{name:>18}: {value}" for name, value in entries.items())]
    print("\n".join(lines))  # noqa: T201


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> dict[str, str]:
    auto = resolve_device("auto")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = ", ".join(torch.cuda.get_device_name(k) for k in range(n_gpus))
    fast = has_fast_bfloat16(auto)
    return {
        "torch threads": str(torch.get_num_threads()),
        "CPU": torch.backends.cpu.get_cpu_capability(),
        "fast bfloat16": "yes" if has_fast_bfloat16(torch.device("cpu")) else "no",
        "CUDA": names or f"no (torch built for {torch.version.cuda or 'none'})",
        "MPS": "yes" if torch.backends.mps.is_available() else "no",
        'device="auto"': str(auto),
        'precision="auto"': "bfloat16 (images; else float32)" if fast else "float32",
    }
