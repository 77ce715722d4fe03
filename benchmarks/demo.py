"""The main job from end to end: few labels, many unlabelled images, ordinary scikit-learn heads.

    make demo                     # scikit-learn's 8 x 8 digits, about a minute on two cores
    make demo DATA=mnist          # or fashion_mnist, cifar10, svhn, NAME.npz: a few minutes

or ``python benchmarks/demo.py --help``. It tunes a VAE and a classifier in one pipeline, trains a
VAE on all images without their labels, compares heads on a few labels with PCA and raw pixels. Then
it saves and loads the result, and draws demo/DATA.png.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import joblib
import matplotlib
import numpy as np
from _common import environment, markdown_table
from _shared import as_rows
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.inspection import (
    InterpolationDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TrainingCurveDisplay,
)
from sklearn_vae.nn import Conv

matplotlib.use("Agg")
import matplotlib.pyplot as plt

C = [1, 10, 100]
SMALL = 16  # pixels a side below which images count as tiny
DRAWS = 5  # choices of the labelled images that accuracies are averaged over
SEARCH_ROWS, SEARCH_EPOCHS = 1500, 20
PASSES = 300_000 * 28**2  # pixels shown in pre-training: about two minutes on two cores
Array = np.ndarray


def settings(X: Array, epochs: int | None) -> dict[str, Any]:
    """Return what the VAE is made with, chosen on held-out training images of the digits."""
    n, height, width = X.shape[:3]
    if min(height, width) < SMALL:
        chosen = {"z_dim": 16, "network": Conv((64, 128), batch_norm=True), "augment": 1.5}
        chosen |= {"likelihood": "gaussian", "batch_size": 64, "max_epochs": epochs or 60}
    else:
        usual = int(np.clip(PASSES / (n * height * width), 4, 100))
        chosen = {"z_dim": 32 if X.ndim == 3 else 128, "max_epochs": epochs or usual}
    return {**chosen, "random_state": 0}


def draw_labels(y: Array, per_class: int, seed: int) -> Array:
    """Return the rows whose labels are known: ``per_class`` of each class."""
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(y == label) for label in np.unique(y)]
    return np.concatenate([rng.choice(rows, per_class, replace=False) for rows in classes])


def tuned(head: Any) -> GridSearchCV:
    """Return the head with C chosen by cross-validation inside the rows that it gets."""
    return GridSearchCV(head, {"C": C}, cv=3)


def tune_together(X: Array, y: Array, X_test: Array, y_test: Array, vae: VAETransformer) -> None:
    """VAE and head as one estimator; the cache fits each VAE once for all C and both heads."""
    z_dims = [vae.z_dim // 2, vae.z_dim]
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for name, head in (("svc", SVC()), ("logistic", LogisticRegression(max_iter=5000))):
            start = time.perf_counter()
            pipeline = Pipeline([("vae", vae), (name, head)], memory=cache)
            grid = {"vae__z_dim": z_dims, f"{name}__C": C}
            search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
            row = {"pipeline": f"vae + {name}"}
            row |= {key.split("__")[1]: value for key, value in search.best_params_.items()}
            row["validation accuracy"] = f"{search.best_score_:.3f}"
            row["test accuracy"] = f"{search.score(X_test, y_test):.3f}"
            rows.append(row | {"seconds": f"{time.perf_counter() - start:.1f}"})
    print(markdown_table(rows, list(rows[0])))
    print("(the second search finds the VAEs of the first one in the cache)")


def compare_features(
    steps: dict[str, Any], X: Array, y: Array, draws: list[Array], X_test: Array, y_test: Array
) -> None:
    """Print the test accuracy of both heads on each kind of features."""
    heads = {"SVC": tuned(SVC()), "LogisticRegression": tuned(LogisticRegression(max_iter=5000))}
    rows = []
    for name, step in steps.items():
        Z_test = step.transform(X_test)
        row = {"features": name, "dimensions": Z_test.shape[1]}
        for head_name, head in heads.items():
            scores = [head.fit(step.transform(X[i]), y[i]).score(Z_test, y_test) for i in draws]
            row[head_name] = f"{np.mean(scores):.3f} ± {np.std(scores):.3f}"
        rows.append(row)
    print(markdown_table(rows, list(rows[0])))


def save_and_load(pipeline: Pipeline, X_test: Array, weights: int) -> None:
    """Check that the saved pipeline predicts the same here and in a new process."""
    code = (
        "import sys, joblib, numpy as np; model, X, out = sys.argv[1:]; "
        "np.save(out, joblib.load(model).predict(np.load(X)))"
    )
    expected = pipeline.predict(X_test)
    with tempfile.TemporaryDirectory() as folder:
        model, images, out = (str(Path(folder, f)) for f in ("model.joblib", "X.npy", "y.npy"))
        joblib.dump(pipeline, model)
        np.save(images, X_test)
        subprocess.run([sys.executable, "-c", code, model, images, out], check=True)
        same = np.array_equal(joblib.load(model).predict(X_test), expected)
        same_elsewhere = np.array_equal(np.load(out), expected)
        size = Path(model).stat().st_size
    print(f"equal predictions: {same} here, {same_elsewhere} in a new process")
    print(f"file {size / 1e6:.2f} MB, of which weights {weights / 1e6:.2f} MB")
    if not (same and same_elsewhere):
        sys.exit("The loaded pipeline predicts differently.")


def draw_picture(vae: VAETransformer, X: Array, path: Path, name: str) -> None:
    """Draw reconstructions, samples, walks through the latent space, and the loss."""
    figure = plt.figure(figsize=(11, 4.4), dpi=130, layout="constrained")
    figure.suptitle(f"A VAE with {vae.z_dim} latent dimensions, trained on {name} without labels")
    left, right = figure.subfigures(1, 2, width_ratios=(1.9, 1))
    axes = left.subplots(3, 1)
    n = len(X)
    ReconstructionDisplay.from_estimator(vae, X, n_images=n, ax=axes[0])
    SampleDisplay.from_estimator(vae, n_samples=2 * n, n_cols=n, random_state=0, ax=axes[1])
    InterpolationDisplay.from_estimator(vae, X[:2], X[2:4], n_steps=n - 2, ax=axes[2])
    titles = "Test images and reconstructions", "Samples from the prior", "From image to image"
    for axis, title in zip(axes, titles, strict=True):
        axis.set(xticks=[], yticks=[], xlabel="")
        axis.set_title(title, fontsize=10, loc="left", pad=2)
    curve = TrainingCurveDisplay.from_estimator(vae, ax=right.subplots()).axes_[0]
    curve.set_title("Loss", fontsize=10, loc="left")
    curve.legend(["training, augmented", "validation"], frameon=False)
    losses = np.array([[row["train_loss"], row["valid_loss"]] for row in vae.history_])
    if len(losses) > 3:
        low, high = losses.min(), losses[1:3].max()  # the first drop would dwarf the rest
        curve.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="digits", help="name that fetch_images knows")
    parser.add_argument("--labels-per-class", type=int, default=10)
    parser.add_argument("--rows", type=int, default=60_000, help="unlabelled images at most")
    parser.add_argument("--max-epochs", type=int, help="of the pre-training")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the picture")
    args = parser.parse_args()
    start = time.perf_counter()

    def say(text: str) -> None:
        print(f"\n[{time.perf_counter() - start:5.1f} s] {text}\n", flush=True)

    train = fetch_images(args.data)
    X, y = train.data[: args.rows], train.target[: args.rows]
    if min(X.shape[1:3]) < SMALL:
        threadpool_limits(limits=1)  # torch's and BLAS's; more would mostly wait for each other
    print(", ".join(f"{key} {value}" for key, value in environment().items()))
    X_test, y_test = fetch_images(args.data, subset="test", return_X_y=True)
    vae = VAETransformer(**settings(X, args.max_epochs))
    draws = [draw_labels(y, args.labels_per_class, seed) for seed in range(DRAWS)]
    print(textwrap.fill(f"{train.DESCR} {len(X_test)} more are held out as test set.", 100))

    known = np.arange(len(X))
    if len(X) > SEARCH_ROWS:
        known, _ = train_test_split(known, train_size=SEARCH_ROWS, stratify=y, random_state=0)
    say(f"{len(known)} labelled images: VAE and head in one pipeline, tuned together")
    short = clone(vae).set_params(max_epochs=min(vae.max_epochs, SEARCH_EPOCHS))
    tune_together(X[known], y[known], X_test, y_test, short)

    say(f"Pre-training on {len(X)} images without labels")
    vae.set_params(validation_fraction=0.1, verbose=int(sys.stderr.isatty())).fit(X)
    first, last = (vae.history_[i]["valid_loss"] for i in (0, -1))
    print(f"{vae.n_iter_} epochs; loss on the 10 % kept for validation {first:.4g} -> {last:.4g}")

    say(f"{len(draws[0])} labelled images, {DRAWS} draws: test accuracy, mean ± sd over the draws")
    pixels = FunctionTransformer(as_rows)
    pca = make_pipeline(pixels, PCA(vae.z_dim, random_state=0)).fit(X)
    hidden = copy.deepcopy(vae).set_params(features="hidden")
    steps = {"pixels": pixels, "PCA": pca, "VAE, mean": vae, "VAE, hidden": hidden}
    compare_features(steps, X, y, draws, X_test, y_test)

    say("Frozen VAE + SVC in a pipeline: saved with joblib and loaded again")
    pipeline = make_pipeline(FrozenEstimator(vae), tuned(SVC())).fit(X[draws[0]], y[draws[0]])
    weights = sum(t.numel() * t.element_size() for t in vae.module_.state_dict().values())
    save_and_load(pipeline, X_test, weights)

    picture = args.out / f"{args.data}.png"
    draw_picture(vae, X_test[:: len(X_test) // 12][:12], picture, args.data)
    say(f"Drawn: {picture}")


if __name__ == "__main__":
    main()
