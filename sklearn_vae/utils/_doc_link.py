"""Links from an estimator's HTML representation to its page of the documentation."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


class DocLinkMixin:
    """Has scikit-learn's diagrams link to the site that the package's metadata name.

    Without an address in the metadata there is no link.
    """

    _doc_link_module = "sklearn_vae"

    @property
    def _doc_link_template(self) -> str:
        site = project_url("Documentation").rstrip("/")
        return f"{site}/generated/{{estimator_module}}.{{estimator_name}}.html" if site else ""


@cache
def project_url(label: str) -> str:
    """Return the link of that label, such as "Documentation", or "" where there is none."""
    try:
        urls = metadata("sklearn-vae").get_all("Project-URL") or []
    except PackageNotFoundError:  # run from a folder, not installed
        return ""
    return dict(entry.split(", ", 1) for entry in urls).get(label, "")
