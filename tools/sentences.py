"""Report long sentences: a page is read by people in a hurry.

    python tools/sentences.py

No sentence of a page has more than ``MOST`` words, and a page has no more than ``MEAN`` in the
mean. The notebook of the benchmarks may be looser. Docstrings and examples together are one page.
"""

from __future__ import annotations

import ast
import inspect
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST, MEAN = 30, 16.0
PAGES = ("*.md", "docs/*.md", "docs/*/*.md", "benchmarks/*.md")
LOOSER = {"benchmarks/NOTES.md": (40, 30.0)}
NOT_PROSE = re.compile(
    r"\A---\n[\s\S]*?^---$|^ *(`{3,})[\s\S]*?^ *\1|<!--[\s\S]*?-->|^ *\|.*$|^:{3,}.*$|^#.*$"
    r"|^</?(?:details|summary).*$",
    re.MULTILINE,
)
NO_SENTENCE = re.compile(
    r"^.*\n *[-=]{3,}$"  # a section's title
    r"|^ *(?:>>>|\.\.\. ).*(?:\n *[^>\s].*)*"  # an example, and what it prints
    r"|^[\w*, ]+ : .*$|^\w+(?:Error|Warning|Interrupt)$"  # a name and its type
    r"|^ *\.\. .*$"  # a reference
    r"|^ *=+ [= ]+\n[\s\S]*^ *=+ [= ]+$"  # a table
    r"|(?<=::\n)(?:\n*    .*)+",  # code
    re.MULTILINE,
)
BLOCKS = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*] |\d+\. ))")
ENDS = re.compile(r"(?<=[.!?])(?:\*\*|\)|\*|`)?\s+")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def sentences(prose: str) -> list[str]:
    """Return the sentences of a text of which prose alone is left."""
    found = [each for block in BLOCKS.split(prose) for each in ENDS.split(block)]
    return [" ".join(each.split()) for each in found if len(each.split()) > 1]


def page(path: Path) -> list[str]:
    """Return the sentences of a page, without code, tables and headings."""
    return sentences(LINK.sub(r"\1", NOT_PROSE.sub("", path.read_text("utf-8"))))


def docstrings(path: Path) -> Iterator[str]:
    """Yield the sentences of a module's docstrings, those of attributes among them."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = inspect.cleandoc(str(node.value.value))
            yield from sentences(NO_SENTENCE.sub("\n", text))


def comments(path: Path) -> Iterator[str]:
    """Yield the sentences of an example's comments, which are the text of its page."""
    for block in re.findall(r"(?:^#.*\n)+", path.read_text("utf-8"), re.MULTILINE):
        yield from sentences(re.sub(r"^#(?: %%)? ?", "", block, flags=re.MULTILINE))


def told(name: str, found: list[str], most: int, mean: float) -> bool:
    """Print mean and longest, and what is too long; return whether anything is."""
    counts = [len(each.split()) for each in found] or [0]
    print(
        f"{name}: {len(found)} sentences, mean {statistics.mean(counts):.1f} words, "
        f"longest {max(counts)}"
    )
    for each in found:
        if len(each.split()) > most:
            print(f"  {len(each.split())}: {each}")
    return statistics.mean(counts) > mean or max(counts) > most


def main() -> int:
    """Print each page's mean and longest; return 1 where one does not keep its limits."""
    failed = False
    for path in (path for pattern in PAGES for path in sorted(ROOT.glob(pattern))):
        name = path.relative_to(ROOT).as_posix()
        failed |= told(name, page(path), *LOOSER.get(name, (MOST, MEAN)))
    package, examples = (sorted((ROOT / n).rglob("*.py")) for n in ("sklearn_vae", "examples"))
    text = [each for path in [*package, *examples] for each in docstrings(path)]
    text += [each for path in examples for each in comments(path)]
    return int(told("docstrings and examples", text, MOST, MEAN) or failed)


if __name__ == "__main__":
    sys.exit(main())
