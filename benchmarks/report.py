"""Write the tables of the documentation from the JSON files that the benchmarks left.

    python benchmarks/report.py            # writes each table anew between its markers
    python benchmarks/report.py --check    # changes nothing; fails where a table would change

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``, under a function of that name
in ``TABLES``.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import sys
from collections.abc import Callable
from typing import Any

from _common import RESULTS, markdown_table

PAGE = RESULTS.parent.parent / "docs" / "benchmarks.md"
TABLE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
LOOP = "hand-written loop"
OURS = "sklearn_vae"


def load(name: str) -> dict[str, Any]:
    """Return what a benchmark wrote."""
    payload: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return payload


def machine(name: str) -> str:
    """Return what a benchmark ran on, in a line."""
    found = load(name)["environment"]
    fast = "fast" if found["fast bfloat16"] else "no fast"
    return (
        f"{found['cpu']}, {found['threads']} threads, {fast} bfloat16; Python {found['python']}, "
        f"torch {found['torch'].partition('+')[0]}, scikit-learn {found['sklearn']}, skorch "
        f"{found['skorch']}."
    )


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return how many times as fast ours is, round by round: the median and the range."""
    each = [b / a for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def speed_train() -> str:
    """Return images a second in training, and how many times those of loop, skorch, pythae."""
    rows = load("speed_train")["results"]
    out = []
    for row in rows:
        others = {r["contender"]: r["seconds"] for r in rows if r["net"] == row["net"]}
        line = {
            "net": row["net"],
            "contender": row["contender"],
            "images/s": f"{row['per second']:,.0f}",
            "roofline": f"{row['share of roofline']:.0%}",
            "x loop": ratio(row["seconds"], others[LOOP]),
        }
        for peer in ("skorch defaults", "pythae"):
            ours = row["contender"].startswith(OURS)
            line[f"x {peer}"] = ratio(row["seconds"], others[peer]) if ours else ""
        out.append(line)
    return markdown_table(out, list(out[0]))


def speed_elbo() -> str:
    """Return the seconds until the held-out ELBO that the loop ends with."""
    rows = load("speed_elbo")["results"]
    for row in rows:
        row |= {"seconds": f"{row['seconds']:.1f}", "ELBO": f"{row['ELBO']:.1f}"}
        row["x loop"] = f"{row['x loop']:.2f}"
    return markdown_table(rows, ["net", "seed", "contender", "epochs", "seconds", "ELBO", "x loop"])


def speed_modes() -> str:
    """Return the held-out ELBO of each mode of training."""
    rows = load("speed_modes")["results"]
    for row in rows:
        row["ELBO"] = f"{row['ELBO']:.1f} ± {row['±']:.1f}"
    return markdown_table(rows, ["net", "mode", "ELBO"])


def speed_encode() -> str:
    """Return images a second in encoding and decoding, beside the raw loop's."""
    rows = load("speed_encode")["results"]
    out = []
    for ours, raw in zip(rows[::2], rows[1::2], strict=True):
        assert (ours["contender"], raw["contender"]) == (OURS, "raw loop")
        out.append(
            {
                "net": ours["net"],
                "method": ours["method"],
                OURS: f"{ours['per second']:,.0f}",
                "raw loop": f"{raw['per second']:,.0f}",
                "x raw loop": ratio(ours["seconds"], raw["seconds"]),
            }
        )
    return markdown_table(out, list(out[0]))


def speed_start() -> str:
    """Return what import, clone and small fits take."""
    rows = load("speed_start")["results"]
    return markdown_table(
        [
            {"what": r["what"], "median": f"{r['median']:.2g}", "rounds": len(r["all"])}
            for r in rows
        ],
        ["what", "median", "rounds"],
    )


def scaling_memory() -> str:
    """Return the highest memory beyond data and result."""
    rows = load("scaling_memory")["results"]
    return markdown_table(
        [{"case": row["case"], "beyond, MiB": round(row["beyond, MiB"])} for row in rows],
        ["case", "beyond, MiB"],
    )


def scaling_time() -> str:
    """Return how the time of a fit grows with images and with epochs."""
    rows = load("scaling_time")["results"]
    share = "share outside batches, %"
    for row in rows:
        row |= {"images": f"{row['images']:,}", "seconds": f"{row['fit seconds']:.3g}"}
        row["us an image and epoch"] = f"{row.get('us per image and epoch', math.nan):.1f}"
        row[share] = f"{row.get(share, math.nan):.2f}"
    rows = [{k: "" if v == "nan" else v for k, v in row.items()} for row in rows]
    return markdown_table(rows, ["images", "epochs", "seconds", "us an image and epoch", share])


def search() -> str:
    """Return what a search costs beside its parts, and what a second process gains."""
    rows = load("search")["results"]
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["data"], {})[row["what"]] = f"{row['value']:.3g}"
    lines = [{"data": data, **values} for data, values in found.items()]
    return markdown_table(lines, list(lines[0]))


TABLES: dict[str, Callable[[], str]] = {
    each.__name__: each
    for each in (
        *(speed_train, speed_elbo, speed_modes, speed_encode, speed_start),
        *(scaling_memory, scaling_time, search),
    )
}


def written(text: str) -> str:
    """Return a page with its tables made anew, and the machine's line below each."""

    def table(match: re.Match[str]) -> str:
        name = match[2]
        if not (RESULTS / f"{name}.json").exists():
            return f"{match[1]}Not measured yet.\n{match[3]}"
        return f"{match[1]}{TABLES[name]()}\n\n{machine(name)}\n{match[3]}"

    return TABLE.sub(table, text)


def main() -> None:
    """Write the page, or compare it with what would be written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    before = PAGE.read_text("utf-8")
    after = written(before)
    if args.check:
        sys.exit(f"{PAGE.name} is not what the files in results/ give" if after != before else 0)
    PAGE.write_text(after, "utf-8")


if __name__ == "__main__":
    main()
