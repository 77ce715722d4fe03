"""The guide's code for TensorBoard, Weights & Biases and MLflow, each as a script of its own."""

import pytest
from helpers import found_by, guide_blocks

CURVES = """
import json
from pathlib import Path
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

curves = {}
for folder in sorted({path.parent for path in Path("runs").rglob("events.*")}):
    events = EventAccumulator(str(folder))
    events.Reload()
    for tag in ("Loss/train_loss", "Loss/train_kl", "lr"):
        curves.setdefault(folder.name, []).append([s.step for s in events.Scalars(tag)])
print("found", json.dumps(curves))
"""
SUMMARY = """
    import json  # before the run is over
    print("found", json.dumps({k: run.summary[k] for k in ("train_loss", "train_kl", "_step")}))
"""
METRICS = """
import json
from mlflow import MlflowClient
run, = MlflowClient().search_runs(["0"])
steps = [m.step for m in MlflowClient().get_metric_history(run.info.run_id, "train_loss")]
kept = [artifact.path for artifact in MlflowClient().list_artifacts(run.info.run_id)]
print("found", json.dumps([run.info.status, steps, sorted(run.data.metrics), kept]))
"""


def found(tmp_path, name, after):
    blocks = guide_blocks("training.md", "Loggers", ("tensorboard", "wandb", "mlflow", "search"))
    return found_by(tmp_path, blocks[name], after)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    assert found(tmp_path, "tensorboard", CURVES) == {"first": [[1, 2, 3]] * 3}


def test_tensorboard_in_a_search_on_processes(tmp_path):
    pytest.importorskip("tensorboard")
    curves = found(tmp_path, "search", CURVES)
    assert len(curves) == 2 * 5 + 1  # candidates by folds, and the last fit of all rows
    assert {name.partition("-")[0] for name in curves} == {"z8", "z16"}
    assert all(steps == [1, 2, 3] for steps, *_ in curves.values())


def test_weights_and_biases(tmp_path):
    pytest.importorskip("wandb")
    summary = found(tmp_path, "wandb", SUMMARY)
    assert summary["_step"] == 2  # of the third epoch
    assert summary["train_kl"] > 0


def test_mlflow(tmp_path):
    pytest.importorskip("mlflow")
    status, steps, metrics, kept = found(tmp_path, "mlflow", METRICS)
    assert status == "FINISHED"
    assert steps == [1, 2, 3]
    assert metrics == ["dur", "lr", "train_kl", "train_log_likelihood", "train_loss"]
    assert "params.pth" in kept
