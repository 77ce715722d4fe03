"""What a bug report needs, and the places where the version is written down."""

import re
import runpy
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import sklearn_vae
from sklearn_vae import _show_versions

ROOT = Path(__file__).parents[1]


def report(capsys):
    sklearn_vae.show_versions()
    lines = capsys.readouterr().out.splitlines()
    return dict(line.strip().split(": ", 1) for line in lines if ": " in line)


def test_versions_and_devices(capsys):
    shown = report(capsys)
    assert shown["sklearn-vae"] == sklearn_vae.__version__
    assert shown["scikit-learn"] == version("scikit-learn")
    assert shown["torch"] == version("torch")
    assert shown["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert shown["torch threads"] == str(torch.get_num_threads())


def test_what_auto_takes_here(capsys, monkeypatch):
    for device, fast, wanted in (("cpu", True, "bfloat16"), ("cpu", False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(_show_versions, "has_fast_bfloat16", lambda device, fast=fast: fast)
        shown = report(capsys)
        assert shown['device="auto"'] == device
        assert shown['precision="auto"'].startswith(wanted)
        assert shown["fast bfloat16"] == ("yes" if fast else "no")


def test_a_missing_package_is_said_to_be_missing(capsys, monkeypatch):
    monkeypatch.setattr(_show_versions, "OPTIONAL", ("no-such-package",))
    assert report(capsys)["no-such-package"] == "not installed"


def test_from_the_command_line(capsys):
    runpy.run_module("sklearn_vae", run_name="__main__")  # python -m sklearn_vae
    by_module = capsys.readouterr().out
    sklearn_vae.show_versions()
    assert by_module == capsys.readouterr().out


@pytest.fixture
def project():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_dependency_is_shown(project):
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["plot"], *extras["dicom"], *extras["onnx"]]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in needed}
    assert names <= {*_show_versions.PACKAGES, *_show_versions.OPTIONAL}
