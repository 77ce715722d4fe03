"""``python -m sklearn_vae`` prints what a bug report needs."""

from ._show_versions import show_versions

if __name__ == "__main__":
    show_versions()
