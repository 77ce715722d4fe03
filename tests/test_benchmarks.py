"""The scripts in ``benchmarks/`` can be imported, and compare what they say they compare."""

import importlib
import json
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP, Conv

HERE = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts_are_found(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


@pytest.mark.parametrize("name", sorted(path.stem for path in HERE.glob("*.py")))
def test_a_script_can_be_imported(name):
    importlib.import_module(name)


def test_the_roofline_counts_the_products_of_a_step():
    roofline, peers = (importlib.import_module(name) for name in ("_roofline", "_peers"))
    X = np.zeros((20, 64), np.uint8)
    products = 64 * 8 + 2 * 8 * 3 + 3 * 8 + 8 * 64
    expected = 2 * (3 * products - 64 * 8)  # no gradient of the images
    assert roofline.operations_per_image(peers.Recipe(MLP((8,)), 3, 10), X) == expected


@pytest.mark.parametrize(("network", "shape"), [(MLP((8,)), (64,)), (Conv((4, 8)), (8, 8, 3))])
def test_raw_loops_compute_what_the_estimator_does(network, shape):
    speed = importlib.import_module("speed")
    X = speed.images(50, *shape)
    how = {"network": network, "likelihood": "bernoulli", "max_epochs": 2, "random_state": 0}
    vae = VAETransformer(3, device="cpu", **how).fit(X)
    Z = vae.transform(X)
    np.testing.assert_allclose(speed.raw_encode(vae, X, 16), Z, rtol=1e-4, atol=1e-5)
    decoded = speed.raw_decode(vae, Z, 16).astype(int)
    np.testing.assert_allclose(decoded, vae.inverse_transform(Z), atol=1)  # truncated, rounded
    assert speed.raw_sample(vae, 5, 2).shape == (5, *shape)


def test_tables_are_what_the_files_give():
    report = importlib.import_module("report")
    pages = [page.read_text("utf-8") for page in report.PAGES]
    names = [name for page in pages for _, name, _ in report.TABLE.findall(page)]
    assert sorted(names) == sorted({**report.TABLES, **report.TIMED})
    for page in pages:
        assert report.written(page) == page


def test_no_table_of_figures_is_written_by_hand():
    report = importlib.import_module("report")
    for page in report.PAGES:
        rest = report.TABLE.sub("", page.read_text("utf-8")).splitlines()
        assert [row for row in rest if row.startswith("|") and re.search(r"\d\.\d", row)] == []


def test_a_figure_that_no_file_gives_is_found_and_mended(tmp_path, monkeypatch):
    report = importlib.import_module("report")
    page, right = tmp_path / "page.md", report.written("<!-- table: network -->\n<!-- end -->\n")
    page.write_text(right.replace("82.58", "82.59"), "utf-8")
    assert page.read_text("utf-8") != right
    monkeypatch.setattr(report, "PAGES", (page,))
    monkeypatch.setattr("sys.argv", ["report.py", "--check"])
    with pytest.raises(SystemExit, match=r"page\.md is not what the files"):
        report.main()
    monkeypatch.setattr("sys.argv", ["report.py"])
    report.main()
    assert page.read_text("utf-8") == right


def test_a_run_writes_each_record_and_a_table(tmp_path, monkeypatch, capsys):
    common = importlib.import_module("_common")
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    argv = ["x.py", "--seeds", "0", "1", "--part", "a-b", "--rows", "5", "--fast"]
    monkeypatch.setattr("sys.argv", argv)

    def part(args):
        assert (args.seeds, args.rows, args.fast, args.lr, args.only) == (
            [0, 1],
            5,
            True,
            0.1,
            None,
        )
        yield from ({"kind": "k", "seed": seed, "error": 1 + 2.0 * seed} for seed in args.seeds)

    parts = {"a-b": (part, lambda found: common.pivot(found, ("kind",), None, ("error",)))}
    parts["other"] = (None, None)
    options = {"seeds": [3], "rows": int, "fast": False, "lr": (0.1, "rate"), "only": [str]}
    common.run("A title.", "experiment", parts, **options)
    written = json.loads((tmp_path / "experiment" / "a_b.json").read_text("utf-8"))
    assert [record["error"] for record in written["results"]] == [1.0, 3.0]
    assert written["args"]["seeds"] == [0, 1]
    assert "torch" in written["environment"]
    assert "| k    | 2.00 ± 1.00 |" in capsys.readouterr().out


def test_cells_of_a_table_stand_in_the_order_of_their_keys():
    common = importlib.import_module("_common")
    keys = [("b", "y", 1), ("a", "x", 1), ("b", "x", 2), ("b", "y", 2)]
    records = [{"f": f, "h": h, "n": n, "v": 10 * n} for f, h, n in keys]
    assert common.pivot(records, ("f", "h"), "n", "v") == [
        {"f": "b", "h": "y", "1": "10.00", "2": "20.00"},
        {"f": "b", "h": "x", "1": "", "2": "20.00"},
        {"f": "a", "h": "x", "1": "10.00", "2": ""},
    ]


def commands():
    """Return the command lines of scripts and documentation that the harness reads."""
    found = {}
    for page in (
        *HERE.glob("*.py"),
        HERE.parent / "README.md",
        *(HERE.parent / "docs").glob("*.md"),
        *(HERE.parent / "docs").glob("benchmarks/*.md"),
    ):
        text = page.read_text("utf-8").replace("\\\n", " ")
        for quoted, line in re.findall(
            r"`(python benchmarks/[^`]+)`|^ *(python benchmarks/.*)", text, re.M
        ):
            _, script, *words = shlex.split((quoted or line).partition("#")[0])
            if re.search(r"^    run\(", (HERE.parent / script).read_text("utf-8"), re.M):
                found[" ".join([script, *words])] = (script, words)
    return [pytest.param(*value, id=key) for key, value in found.items()]


@pytest.mark.parametrize(("script", "words"), commands())
def test_a_command_line_of_the_documentation_is_understood(script, words, monkeypatch):
    common = importlib.import_module("_common")
    real, understood = common.run, []

    def run(doc, experiment, parts, **options):
        real(doc, experiment, dict.fromkeys(parts, (nothing, None)), **options)

    def nothing(args):
        understood.append(args)
        yield from ()

    monkeypatch.setattr(common, "run", run)
    monkeypatch.setattr("sys.argv", [script, *words])
    runpy.run_path(str(HERE.parent / script), run_name="__main__")
    assert understood
