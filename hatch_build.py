"""What the build makes of the repository's address, which pyproject.toml holds once."""

from __future__ import annotations

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Addresses(MetadataHookInterface):
    """Puts the project's links into its metadata, once there is an address."""

    def update(self, metadata: dict) -> None:
        """Set ``urls`` of the metadata."""
        metadata["urls"] = urls(self.config["repository"])


def urls(repository: str) -> dict[str, str]:
    """Return the project's links by their label; none without an address."""
    if not repository:
        return {}
    owner, name = repository.rstrip("/").split("/")[-2:]
    return {
        "Documentation": f"https://{owner.lower()}.github.io/{name}",
        "Repository": repository,
        "Issues": f"{repository}/issues",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
    }


def badges(repository: str) -> str:
    """Return the README's line of badges; an empty one without an address."""
    if not repository:
        return ""
    tests = f"{repository}/actions/workflows/tests.yml"
    pypi = "https://pypi.org/project/sklearn-vae"
    return (
        f"[![Tests]({tests}/badge.svg)]({tests}) "
        f"[![PyPI](https://img.shields.io/pypi/v/sklearn-vae)]({pypi}) "
        f"[Documentation]({urls(repository)['Documentation']})"
    )
