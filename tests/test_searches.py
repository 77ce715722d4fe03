"""The guide's code for searches on Dask, Ray and Optuna, each as a script of its own."""

import pytest
from helpers import found_by, guide_blocks

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
    return guide_blocks("scaling.md", "Searches", ("dask", "ray", "optuna"))


def search_alone():
    """Return the guide's search as it is without a cluster."""
    return blocks()["dask"].partition("if __name__")[0]


@pytest.mark.parametrize("package", ["dask", "ray"])
def test_a_search_on_a_cluster_is_the_search(tmp_path, package):
    if package == "dask":
        pytest.importorskip("distributed")
    pytest.importorskip(package)
    alone = found_by(tmp_path, search_alone(), "search.fit(X, y)", SCORES)
    before = search_alone() if package == "ray" else ""
    assert found_by(tmp_path, before, blocks()[package], SCORES) == alone


def test_optunas_trials_end_where_they_are_behind(tmp_path):
    pytest.importorskip("optuna")
    trials = found_by(tmp_path, blocks()["optuna"], TRIALS)
    assert len(trials) == 20
    epochs = {state: [n for s, n in trials if s == state] for state in ("COMPLETE", "PRUNED")}
    assert set(epochs["COMPLETE"]) == {20}
    assert len(epochs["PRUNED"]) >= 3
    assert max(epochs["PRUNED"]) < 20
