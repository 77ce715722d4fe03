"""Checks the types of the user guide's code with pyright, as an editor shows them to a reader.

The blocks of a page become a module, each at the lines where it stands on the page.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide"
SUPPOSED = """
import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn_vae import VAEDetector, VAETransformer

X: np.ndarray
X_all: np.ndarray
X_labelled: np.ndarray
X_new: np.ndarray
X_normal: np.ndarray
X_test: np.ndarray
y: np.ndarray
y_labelled: np.ndarray
y_new: np.ndarray
y_test: np.ndarray
y_with_minus_ones: np.ndarray
chunks: list[np.ndarray]
vae: VAETransformer
detector: VAEDetector
pipeline: Pipeline
encoder: torch.nn.Module
decoder: torch.nn.Module
"""
"""What the guide's code takes for given."""
SETTINGS = {
    "ignore": ["supposed.py"],
    "extraPaths": [str(ROOT)],
    # Without annotations of their own, what libraries take would be guessed from their defaults.
    "useLibraryCodeForTypes": False,
    "reportMissingImports": "warning",  # Dask, Ray and Optuna need not be there
}


def code_in_place(text: str) -> str:
    r"""Return the Python of a Markdown page, every other line being empty.

    >>> code_in_place("# Page\n\n- Item:\n\n  ```python\n  x = 1\n  ```\n").split("\n")
    ['', '', '', '', '', 'x = 1', '']
    """
    lines, indent = [], None
    for line in text.splitlines():
        fence = re.fullmatch(r"( *)```(\w*)", line)
        if fence:
            indent = len(fence[1]) if fence[2] in ("python", "py") else None
        lines.append("" if fence or indent is None else line[indent:])
    return "\n".join(lines)


def main() -> int:
    """Return pyright's exit status for the guide."""
    files = {"supposed.py": SUPPOSED, "pyrightconfig.json": json.dumps(SETTINGS)}
    for page in GUIDE.glob("*.md"):
        _, *code = code_in_place(page.read_text(encoding="utf-8")).split("\n")
        files[f"{page.stem}.py"] = "\n".join(["from supposed import *", *code])
    with TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
        return subprocess.run([*command, "--project", folder], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
