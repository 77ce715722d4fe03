"""The harness of all benchmarks: command line, clocks, runs, results as JSON, tables."""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
Record = dict[str, Any]
Part = Callable[[argparse.Namespace], Iterator[Record]]
Show = Callable[[list[Record]], list[Record]]


# -- command line ----------------------------------------------------------------------------------


def arguments(doc: str, **options: Any) -> argparse.Namespace:
    """Return what the command line says.

    An option is its default, and a pair of this and a help text or a collection of choices. A list
    takes several values; False is a flag; a type, or a list of one, is of this type and has no
    default.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, option in options.items():
        default, more = option if isinstance(option, tuple) else (option, None)
        kw: dict[str, Any] = {"help" if isinstance(more, str) else "choices": more}
        if default is False:
            kw = {"help": more, "action": "store_true"}
        else:
            first = default
            if isinstance(default, list):
                kw["nargs"], first = "*", default[0]
            kw["type"] = first if callable(first) else type(first)
            kw["default"] = None if callable(first) else default
        parser.add_argument("--" + name.replace("_", "-"), **kw)
    return parser.parse_args()


# -- clocks ----------------------------------------------------------------------------------------


def watch(clock: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """Return a function that returns the seconds since now."""
    start = clock()
    return lambda: clock() - start


def seconds(work: Callable[[], Any]) -> float:
    """Return how long ``work`` takes."""
    spent = watch()
    work()
    return spent()


# -- runs ------------------------------------------------------------------------------------------


def run(doc: str, experiment: str, parts: Mapping[str, tuple[Part, Show]], **options: Any) -> None:
    """Run the chosen parts; write results/EXPERIMENT/PART.json after every record.

    A part is a function that yields records, and what makes the rows of a table of them.
    """
    if len(parts) > 1:
        options["part"] = (list(parts), parts)
    args = arguments(doc, **options, out=(str, "name of the JSON"))
    for name in getattr(args, "part", parts):
        part, show = parts[name]
        records: list[Record] = []
        for record in part(args):
            records.append(record)
            print(record, flush=True)
            payload = {"environment": environment(), "args": vars(args), "results": records}
            write_json(f"{experiment}/{args.out or name.replace('-', '_')}", payload)
        if records:
            print(markdown_table(show(records)), flush=True)


@cache
def environment() -> Record:
    """Return the versions, the device and the number of threads that figures depend on."""
    import numpy
    import sklearn
    import skorch
    import torch

    import sklearn_vae
    from sklearn_vae.training._precision import has_fast_bfloat16

    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    else:
        device = "mps" if torch.backends.mps.is_available() else "cpu"
    return {
        "python": platform.python_version(),
        **{m.__name__: m.__version__ for m in (numpy, sklearn, skorch, torch, sklearn_vae)},
        "device": device,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "fast bfloat16": has_fast_bfloat16(torch.device("cpu")),
    }


def cpu_name() -> str:
    """Return what the CPU calls itself, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


# -- results ---------------------------------------------------------------------------------------


def write_json(name: str, payload: Mapping[str, Any]) -> None:
    """Write results/NAME.json, a record a line, floats to 6 significant digits."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = _dump({key: value for key, value in payload.items() if key != "results"}, indent=1)
    lines = ",\n".join(f"  {_dump(record)}" for record in payload["results"])
    path.write_text(f'{head[:-2]},\n "results": [\n{lines}\n ]\n}}\n', "utf-8")


def _dump(value: Any, **kw: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, default=str, **kw)


def _plain(value: Any) -> Any:
    """Return value in types that JSON has, arrays as lists; what is not finite is null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


# -- tables ----------------------------------------------------------------------------------------


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean, and ± the standard deviation where one is seen at so many digits."""
    sd = f"{statistics.pstdev(values):.{digits}f}"
    return f"{statistics.fmean(values):.{digits}f}" + (f" ± {sd}" if float(sd) else "")


def pivot(
    records: Iterable[Record],
    rows: Sequence[str],
    column: str | None,
    values: str | Sequence[str],
    cell: Callable[[list], str] = spread,
) -> list[Record]:
    """Return a row for each combination of keys; a cell for each value of the column, or score.

    Keys stand in the order of their first appearance, ``rows[0]`` first.
    """
    values = [values] if isinstance(values, str) else values
    cells: dict[tuple, dict[str, list]] = {}
    order: dict[str, dict[Any, int]] = {key: {} for key in rows}
    titles: dict[str, None] = {}
    for record in records:
        key = tuple(record.get(name, "") for name in rows)
        for ranks, part in zip(order.values(), key, strict=True):
            ranks.setdefault(part, len(ranks))
        for value in values:
            title = str(record[column]) if column else value
            titles[title] = None
            cells.setdefault(key, {}).setdefault(title, []).append(record[value])
    return [
        {
            **dict(zip(rows, key, strict=True)),
            **{title: cell(cells[key][title]) if title in cells[key] else "" for title in titles},
        }
        for key in sorted(cells, key=lambda k: [order[n][p] for n, p in zip(rows, k, strict=True)])
    ]


def markdown_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return the named columns, or all, as a Markdown table; floats to 4 digits."""

    def cell(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    rows = list(rows)
    columns = columns or list(dict.fromkeys(name for row in rows for name in row))
    cells = [list(columns), *([cell(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    )
