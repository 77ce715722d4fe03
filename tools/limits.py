"""The limits of size that the house keeps: prints what is over them, and exits with 1.

Lines of code are lines without docstrings, comments and blank ones.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "sklearn_vae"
CLASS_LINES = 250
"""Lines of code in a class."""
FILE_LINES = 500
"""Lines in a file, of any kind."""
TOP_ENTRIES = 12
"""Python files, and folders, at the top of the package."""


def code_lines(text: str) -> set[int]:
    r"""Return the numbers of the lines that hold code.

    Attributes' docstrings are docstrings, too: any text that stands alone.

    >>> sorted(code_lines('class A:\n    "Text."\n\n    x = 1  # one\n    "Text."\n'))
    [1, 4]
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT and token.string.strip():
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(ast.Constant(str())):
                lines.difference_update(_span(node))
    return lines


def _span(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def too_large(package: Path) -> Iterator[str]:
    """Yield a line for each file and class over its limit."""
    for path in sorted(package.rglob("*.py")):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(package.parent)
        n_lines = len(text.splitlines())
        if n_lines > FILE_LINES:
            yield f"{name}: {n_lines} lines; at most {FILE_LINES}"
        code = code_lines(text)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                n = len(code.intersection(_span(node)))
                if n > CLASS_LINES:
                    at = f"{name}:{node.lineno}"
                    yield f"{at}: class {node.name}: {n} lines of code; at most {CLASS_LINES}"


def too_many(package: Path) -> Iterator[str]:
    """Yield a line for each kind of entry that the package's top has too many of."""
    entries = {
        "Python files": [*package.glob("*.py")],
        "folders": [p for p in package.iterdir() if p.is_dir() and p.name != "__pycache__"],
    }
    for kind, found in entries.items():
        if len(found) > TOP_ENTRIES:
            yield f"{package.name}/: {len(found)} {kind} at the top; at most {TOP_ENTRIES}"


if __name__ == "__main__":
    over = [*too_large(PACKAGE), *too_many(PACKAGE)]
    sys.exit("\n".join(over) or None)
