"""Links from an estimator's HTML representation to its page of the documentation."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


class DocLinkMixin:
    """Has scikit-learn's diagrams link to the site that the package's metadata name.

    That is the ``Documentation`` URL of pyproject.toml; without one there is no link.
    """

    _doc_link_module = "sklearn_vae"

    @property
    def _doc_link_template(self) -> str:
        site = documentation_url()
        return f"{site}/generated/{{estimator_module}}.{{estimator_name}}.html" if site else ""


@cache
def documentation_url() -> str:
    """Return the address of the documentation, or "" where the metadata tell none."""
    try:
        urls = metadata("sklearn-vae").get_all("Project-URL") or []
    except PackageNotFoundError:  # run from a folder, not installed
        return ""
    found = dict(entry.split(", ", 1) for entry in urls)
    return found.get("Documentation", "").rstrip("/")
