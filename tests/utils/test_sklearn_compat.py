"""scikit-learn's settings: what the user has set for other estimators changes nothing here."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import tiny
from sklearn import config_context
from sklearn.decomposition import PCA

from sklearn_vae import VAEAugmenter, VAEDetector
from sklearn_vae.inspection import LatentDisplay

# SciPy reads the variable when it is imported, so that a process of its own is needed.
UNDER_DISPATCH = """
import json
import numpy as np, sklearn, torch
from helpers import synthetic_images, tiny
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn_vae import VAEAugmenter, VAEDetector

X, y = synthetic_images(40, 8, 8), np.arange(40) % 2
vae = tiny().fit(X)
vaes = {"frozen": FrozenEstimator(vae), "trained": tiny()}

def detect(method, vae):
    return lambda X, y: VAEDetector(vaes[vae], method=method).fit(X).score_samples(X)

def resample(**changes):
    sampler = lambda: VAEAugmenter(vae=tiny(), n_new=2, random_state=0, **changes)
    return lambda X, y: np.asarray(sampler().fit_resample(X, y)[0])

def classify(X, y):
    pipeline = make_pipeline(tiny(), LogisticRegression())
    wrapper = VAEAugmenter(pipeline, vae=tiny(), n_new=2, random_state=0).fit(X, y)
    assert wrapper.score(X, y) >= 0.5
    return wrapper.predict_proba(X)

tasks = {
    "transform": lambda X, y: tiny(label_weight=1.0, patience=1).fit(X, y).transform(X),
    "scores": lambda X, y: vae.score_samples(X),
    "decode": lambda X, y: vae.inverse_transform(X[:, 0, :3]),
    "classify": classify,
    "gate": resample(gate=True),
    "detector": detect("path", "trained"),
    **{m: detect(m, "frozen") for m in ("path", "latent", "elbo", "reconstruction")},
    **{m: resample(method=m) for m in ("density", "interpolation", "bootstrap")},
}
differ = []
for name, task in tasks.items():
    expected = task(X, y)
    with sklearn.config_context(array_api_dispatch=True):
        for kind in (np.asarray, torch.tensor):
            try:
                np.testing.assert_array_equal(task(kind(X), kind(y)), expected)
            except Exception as error:
                differ.append(f"{name}, {kind.__name__}: {error}")
print(json.dumps({"tasks": len(tasks), "differ": differ}))
"""


def test_array_api_dispatch_changes_nothing():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNDER_DISPATCH],
        capture_output=True,
        text=True,
        env={**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["tasks"] == 13
    assert found["differ"] == []


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_frames_as_output_change_nothing(output, images, labels):
    X, y = images[:60], labels[:60] % 2

    def results():
        detector = VAEDetector(tiny()).fit(X)
        sampler = VAEAugmenter(vae=tiny(), n_new=2, method="density", random_state=0)
        return detector.score_samples(X), sampler.fit_resample(X, y)[0]

    expected = results()
    with config_context(transform_output=output):
        for found, value in zip(results(), expected, strict=True):
            assert isinstance(found, np.ndarray)
            np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, pd.DataFrame])
def test_latent_codes_are_drawn_from_any_container(output, kind, rng):
    codes, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    expected = np.abs(PCA(2, svd_solver="full").fit_transform(codes))
    with config_context(transform_output=output):
        display = LatentDisplay.from_arrays(kind(codes), torch.tensor(y))
    np.testing.assert_allclose(np.abs(display.coordinates_), expected)
