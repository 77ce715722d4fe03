"""The version and the repository's address each stand in one place; the rest follows."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import sklearn_vae

ROOT = Path(__file__).parents[1]
ADDRESS = "https://github.com/Someone/sklearn_vae"


@pytest.fixture
def pyproject():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def build(monkeypatch):
    """The build's hook, without hatchling, which only the build needs."""
    plugin = SimpleNamespace(MetadataHookInterface=object)
    monkeypatch.setitem(sys.modules, "hatchling.metadata.plugin.interface", plugin)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_is_the_same_everywhere(pyproject):
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited[1] == sklearn_vae.__version__
    assert "version" in pyproject["project"]["dynamic"]
    assert pyproject["tool"]["hatch"]["version"]["path"] == "sklearn_vae/__init__.py"


def test_links_and_badges_follow_the_address(build):
    assert build.urls("") == {}
    assert build.badges("") == ""
    urls = build.urls(ADDRESS)
    assert urls["Documentation"] == "https://someone.github.io/sklearn_vae"
    assert urls["Issues"] == f"{ADDRESS}/issues"
    badges = build.badges(ADDRESS)
    assert badges.count(ADDRESS) == 2
    assert urls["Documentation"] in badges


def test_readme_and_citation_have_the_links_that_follow_and_no_others(pyproject, build):
    address = pyproject["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    title, _, third, *_ = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert title == "# sklearn_vae"
    cited = re.search(r"^repository-code: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    if address:
        assert third == build.badges(address)
        assert cited[1] == address
    else:
        assert not third.startswith("[")
        assert cited is None


def test_the_switcher_offers_versions_of_this_site_only(pyproject, build):
    address = pyproject["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    versions = json.loads((ROOT / "docs/_static/switcher.json").read_text(encoding="utf-8"))
    site = build.urls(address).get("Documentation")
    for entry in versions:
        assert site
        assert entry["url"].startswith(f"{site}/")
        assert entry["version"]
