"""Report long sentences: a page is read by people in a hurry.

    python tools/sentences.py

README and user guide have no sentence of more than ``MOST`` words and ``MEAN`` in the mean; of the
other pages the longest sentences are shown.
"""

from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MOST, MEAN = 30, 16.0
KEPT = ("README.md", "docs/index.md", "docs/guide/")
NOT_PROSE = re.compile(
    r"\A---\n[\s\S]*?^---$|^ *```[\s\S]*?^ *```|<!--[\s\S]*?-->|^ *\|.*$|^:{3,}.*$|^#.*$",
    re.MULTILINE,
)
BLOCKS = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*] |\d+\. ))")
ENDS = re.compile(r"(?<=[.!?])(?:\*\*|\)|\*|`)?\s+")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def sentences(page: str) -> list[str]:
    """Return the sentences of a page, without code, tables and headings."""
    prose = LINK.sub(r"\1", NOT_PROSE.sub("", page))
    found = [each for block in BLOCKS.split(prose) for each in ENDS.split(block)]
    return [" ".join(each.split()) for each in found if len(each.split()) > 1]


def main() -> int:
    """Print each page's mean and longest; return 1 where a page that keeps the limits does not."""
    failed = False
    for path in sorted([ROOT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("*/*.md")]):
        name = path.relative_to(ROOT).as_posix()
        found = sentences(path.read_text("utf-8"))
        counts = [len(each.split()) for each in found] or [0]
        mean = statistics.mean(counts)
        print(f"{name}: {len(found)} sentences, mean {mean:.1f} words, longest {max(counts)}")
        if name.startswith(KEPT):
            for each in (each for each in found if len(each.split()) > MOST):
                print(f"  {len(each.split())}: {each}")
            failed |= mean > MEAN or max(counts) > MOST
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
