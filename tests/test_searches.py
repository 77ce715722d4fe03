"""The guide's code for searches on Dask, Ray and Optuna, each as a script of its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "scaling.md"
BEFORE = """
import numpy as np
import sklearn_vae
from sklearn_vae.nn import MLP

rng = np.random.default_rng(0)
y = np.arange(120) % 2
X = np.clip(rng.normal(0.3 + 0.3 * y[:, None, None], 0.2, (120, 8, 8)), 0, 1)
slow = sklearn_vae.VAETransformer


def quick(*args, **kwargs):
    usual = {"network": MLP((16,)), "max_epochs": 2, "augment": None, "device": "cpu"}
    return slow(*args, **{**usual, **kwargs})


sklearn_vae.VAETransformer = quick
"""
SCORES = """
if __name__ == "__main__":
    import json
    print("found", json.dumps(search.cv_results_["mean_test_score"].tolist()))
"""
TRIALS = """
import json
trials = [(t.state.name, len(t.intermediate_values)) for t in study.trials]
print("found", json.dumps(trials))
"""


def blocks():
    """Return the section's code, by the package that it is about."""
    section = re.search(r"## Searches\n(.*?)\n##", GUIDE.read_text(encoding="utf-8"), re.S)[1]
    found = re.findall(r"```py\n(.*?)```", section, flags=re.S)
    return dict(zip(("dask", "ray", "optuna"), found, strict=True))


def result(tmp_path, *code):
    """Return what a script of the code prints last."""
    folder = tmp_path / str(len([*tmp_path.iterdir()]))  # with a cache of its own
    folder.mkdir()
    script = folder / "script.py"
    script.write_text("\n".join((BEFORE, *code)), encoding="utf-8")
    command = [sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(re.search(r"^found (.*)$", done.stdout, flags=re.M)[1])


def search_alone():
    """Return the guide's search as it is without a cluster."""
    return blocks()["dask"].partition("if __name__")[0]


@pytest.mark.parametrize("package", ["dask", "ray"])
def test_a_search_on_a_cluster_is_the_search(tmp_path, package):
    if package == "dask":
        pytest.importorskip("distributed")
    pytest.importorskip(package)
    alone = result(tmp_path, search_alone(), "search.fit(X, y)", SCORES)
    before = search_alone() if package == "ray" else ""
    assert result(tmp_path, before, blocks()[package], SCORES) == alone


def test_optunas_trials_end_where_they_are_behind(tmp_path):
    pytest.importorskip("optuna")
    trials = result(tmp_path, blocks()["optuna"], TRIALS)
    assert len(trials) == 20
    epochs = {state: [n for s, n in trials if s == state] for state in ("COMPLETE", "PRUNED")}
    assert set(epochs["COMPLETE"]) == {20}
    assert len(epochs["PRUNED"]) >= 3
    assert max(epochs["PRUNED"]) < 20
