"""Importing the package is cheap and sets nothing global."""

import json
import subprocess
import sys

REPORT = """
import json, sys, warnings
import numpy, sklearn, sklearn.model_selection, skorch, skorch.callbacks, torch
before = set(sys.modules)
def state():
    return [
        repr(warnings.filters), torch.get_num_threads(), torch.get_num_interop_threads(),
        str(torch.get_default_dtype()), torch.is_grad_enabled(), sys.float_info.max,
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32, torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(), repr(numpy.random.get_state()), repr(numpy.geterr()),
        sklearn.get_config(), __import__("logging").getLogger().level,
    ]
kept = json.dumps(state(), default=str)
import sklearn_vae, sklearn_vae.datasets, sklearn_vae.inspection
changed = json.dumps(state(), default=str) != kept
new = {name.partition(".")[0] for name in set(sys.modules) - before}
bars = "tqdm.auto" in sys.modules  # warns in a notebook without ipywidgets
readers = {"torchvision", "PIL", "pydicom"} & set(sys.modules)  # for images in files
found = {"new": sorted(new), "changed": changed, "bars": bars, "readers": sorted(readers)}
print(json.dumps(found))
"""


def test_import_brings_no_optional_package_and_changes_no_setting():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", REPORT], check=True, capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    heavy = {
        "torchvision",
        "matplotlib",
        "pandas",
        "imblearn",
        "safetensors",
        "PIL",
        "onnx",
        "IPython",
    }
    assert not heavy & set(report["new"])
    assert not report["changed"]
    assert not report["bars"]
    assert not report["readers"]
    assert done.stderr == ""
