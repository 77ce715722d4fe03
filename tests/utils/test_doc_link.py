"""Links from the HTML representation to the documentation."""

from email.message import Message
from pathlib import Path

import pytest

from sklearn_vae import VAEAugmenter, VAEDetector, VAETransformer
from sklearn_vae.datasets import ImageReader
from sklearn_vae.utils._doc_link import project_url

ESTIMATORS = [VAETransformer(), VAEAugmenter(), VAEDetector(), ImageReader()]


@pytest.fixture
def project_urls(monkeypatch):
    """Let a test say what the package's metadata hold."""

    def use(*entries):
        found = Message()
        for entry in entries:
            found["Project-URL"] = entry
        monkeypatch.setattr("sklearn_vae.utils._doc_link.metadata", lambda name: found)
        project_url.cache_clear()

    yield use
    project_url.cache_clear()


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_each_estimator_links_to_its_page(estimator, project_urls):
    project_urls("Source, https://example.org/source", "Documentation, https://example.org/docs/")
    name = type(estimator).__name__
    module = "sklearn_vae.datasets" if name == "ImageReader" else "sklearn_vae"
    page = f"{module}.{name}.html"
    assert f'href="https://example.org/docs/generated/{page}"' in estimator._repr_html_()
    reference = (Path(__file__).parents[2] / "docs/api.rst").read_text(encoding="utf-8")
    section = reference.split(f".. currentmodule:: {module}\n")[1].split("currentmodule")[0]
    assert f"   {name}\n" in section  # which is what the page is built from


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_no_address_no_link(estimator, project_urls):
    project_urls("Source, https://example.org/source")
    assert estimator._get_doc_link() == ""
    assert "example.org" not in estimator._repr_html_()
