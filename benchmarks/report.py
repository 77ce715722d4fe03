"""Write the tables of README and documentation from the JSON files that the benchmarks left.

    python benchmarks/report.py            # writes each table anew between its markers
    python benchmarks/report.py --check    # changes nothing; fails where a table would change

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. What makes it stands under its
name in ``TABLES``.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from _common import RESULTS, Record, arguments, markdown_table, pivot, spread

ROOT = RESULTS.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*/*.md")))
TABLE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
LOOP, OURS = "hand-written loop", "sklearn_vae"
SETS = {
    **{"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10_jpeg": "CIFAR-10 (JPEG)"},
    **{"svhn": "SVHN", "pneumoniamnist": "X-rays", "neu_surface": "steel"},
    **{"magnetic_tile": "tiles", "sign_digits": "sign digits"},
    **{"magnetic_tile_192": "tiles", "elpv_128": "solar cells"},
}
MNIST, FASHION, CIFAR = list(SETS.values())[:3]
LR, SVC, MLP, SPREADING = "LogisticRegression", "SVC(RBF)", "MLP(256)", "LabelSpreading"
LOF = "LocalOutlierFactor"
HIDDEN = "VAE hidden"
LAST = {HIDDEN: "the last stage"}
LINEAR = ("raw pixels", "PCA-32", "PCA-128", "PCA-50", "untrained hidden")
CONTENDERS = (
    *("VAE, path", "VAE, elbo", "VAE, reconstruction", "VAE, latent", "PCA error"),
    *("IsolationForest", "LocalOutlierFactor", "OneClassSVM", "PyOD VAE"),
)
BATCHES = {"256 a step, before": "256", '"auto"': "auto"}
RATED = ("digits", "mnist", "fashion_mnist", "neu_surface", "sign_digits")
Records = list[Record]


# -- records ---------------------------------------------------------------------------------------


def load(name: str) -> dict[str, Any]:
    """Return what a benchmark wrote."""
    payload: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return payload


def exists(name: str) -> bool:
    """Return whether a benchmark has written that file."""
    return (RESULTS / f"{name}.json").exists()


def take(*names: str, **where: Any) -> Records:
    """Return the records of files whose values are the given one, or among the given ones.

    Among several the order is theirs. A mapping gives new values, too.
    """
    records = [record for name in names for record in load(name)["results"]]
    for record in records:
        record |= {k: SETS.get(record[k], record[k]) for k in {"data", "foreign"} & record.keys()}
    for key, wanted in where.items():
        among = [wanted] if isinstance(wanted, (str, int)) else list(wanted)
        records = [r for value in among for r in records if r[key] == value]
        if isinstance(wanted, Mapping):
            records = [{**r, key: wanted[r[key]]} for r in records]
    return records


def each(records: Records, **new: Callable[[Record], Any]) -> Records:
    """Return the records with more keys, made of what each has."""
    return [{**r, **{key: make(r) for key, make in new.items()}} for r in records]


def mean(values: list[float], digits: int = 1) -> str:
    """Return the mean."""
    return f"{statistics.fmean(values):.{digits}f}"


def one_digit(values: list[float]) -> str:
    """Return the mean, and the spread where it is seen, to one digit."""
    return spread(values, 1)


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return how many times as fast ours is, round by round: the median and the range."""
    times = [b / a for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"


# -- features --------------------------------------------------------------------------------------


def few_labels(*parts: Records) -> Records:
    """Test errors in % by features, head and number of labels."""
    records = each([r for part in parts for r in part], labels=lambda r: f"{r['labels']:,} labels")
    return pivot(records, ("features", "head"), "labels", "error")


def first(data: str, features: Any, head: Any = (LR, SVC, MLP)) -> Records:
    """Return the first run with few labels, whose LabelSpreading had another graph."""
    return take("classification/main", data=data, features=features, head=head)


def all_labels() -> Records:
    """Accuracies on the CIFAR-10 copy, all labels."""
    own = {"pixels": "raw pixels", "HOG": "HOG", "untrained hidden": "untrained hidden"}
    vae, more = {HIDDEN: "VAE, symmetric"}, "VAE + patches"
    names = {
        "jpeg": {**own, HIDDEN: HIDDEN},
        "patches": {more: more, "patches": "patches alone"},
        "patches1600": {more: "VAE + 1,600", "patches": "1,600 alone"},
        "symmetric": {**vae, more: "- with patches", "patches": "- patches alone"},
        "contrastive": {HIDDEN: "VAE, two views"},
        "contrastive_long": {HIDDEN: "- 26 epochs", more: "- with patches, too"},
        "mirrored": {more: "both, mirrored"},
    }
    records = [
        {**record, "columns": f"{record['columns']:,}"}
        for name, features in names.items()
        for record in take(f"all_labels/cifar10_{name}", features=features)
    ]
    return pivot(records, ("features", "columns"), "head", "accuracy")


def small_sets() -> Records:
    """Balanced accuracies over folds and on the test part."""
    names = {
        **{name: name for name in ("raw pixels", "PCA", "HOG", HIDDEN)},
        "VAE hidden, patches": "VAE + patches",
        "VAE hidden, patches, symmetric": "- symmetric",
        "small VAE, patches, symmetric": "- small, symmetric",
        "VAE mean, with labels": "VAE mean, labels",
        "VAE hidden, with labels": "VAE hidden, labels",
    }
    files = {
        "pneumoniamnist": ("", "_labels"),
        "neu_surface": ("", "_hidden", "_patches", "_small", "_labels"),
        "magnetic_tile": ("", "_symmetric", "_small", "_labels"),
    }
    paths = [f"small_sets/{data}{end}" for data, ends in files.items() for end in ends]
    records = [
        {**r, "where": f"{r['data']}, {part}", "value": 100 * value}
        for r in take(*paths, features=names)
        for part, key in (("folds", "folds"), ("test", "balanced_accuracy"))
        for value in r[key]
    ]
    return pivot(records, ("features", "head"), "where", "value", one_digit)


def front() -> Records:
    """Return the rows of README: one a job, beside what a user would take without the package."""
    svc = next(r for r in heads() if (r["data"], r["head"], r["labels"]) == (MNIST, SVC, "100"))
    few = {r[""]: r["mean"] for r in few_labels_summary(*FEW_LABELS)}
    class_of, steel = TABLES["one_class"]()[0], surfaces()[0]
    cells = {r["by"]: r["tiles"] for r in reversed(defects())}
    few_of = "six sets, frozen backbone, 1 to 20 labels a class"
    rows = [
        ("MNIST, 100 labels, SVC", "error ↓", svc["VAE mean"], svc["PCA-50"], "PCA"),
        (few_of, "balanced accuracy ↑", few["VAEClassifier"], few[LR], LR),
        *(
            (job, "AUROC ↑", row["VAE, path"], row[LOF], LOF)
            for job, row in (
                ("MNIST: one digit known, others found", class_of),
                ("steel: one defect known, others found", steel),
            )
        ),
        (
            *("magnetic tiles, small defects, frozen network", "AUROC ↑"),
            *(cells["cells of two grids"], cells["nearest neighbour of cells"]),
            "nearest neighbours",
        ),
    ]
    names = "job", "in %", "sklearn_vae", "the usual way", "which is"
    return [dict(zip(names, row, strict=True)) for row in rows]


def of(name: str, column: str, *row: str) -> str:
    """Return the cell of a table's column in the first row that has these cells, too."""
    return str(next(r[column] for r in TABLES[name]() if set(row) <= {str(v) for v in r.values()}))


def choice() -> Records:
    """Return the rows of the guide's page of choices: a situation each, what is ahead in bold."""
    few = [of("few_labels_summary", "mean", name) for name in (LR, "VAEClassifier")]
    digits = [of("heads", name, MNIST, SVC, "100") for name in ("PCA-50", "VAE mean")]
    many = [of("heads", k, FASHION, SVC, "10,000") for k in ("raw pixels", "VAE mean", HIDDEN)]
    steel = [of("backbones", "Lite0", "steel"), of("small_sets", "steel, test", HIDDEN, SVC)]
    grey = [of("small_sets", "X-rays, test", name, LR) for name in ("HOG", HIDDEN)]
    rare = "class weights", "SMOTE on pixels", "geometric", "VAE posterior"
    recall = [of("unbalanced_fashion", "ACSA", "SVC on pixels", name) for name in rare]
    scores = "IsolationForest", LOF, "VAE, path"
    strange = [of("surfaces", name, "steel, mean of six") for name in scores]
    cells = "nearest neighbour of cells", "cells of two grids"
    places = [of("defects", "tiles", "cells", name) for name in cells]
    pca, windows = (
        [of("defects", data, *by) for data in ("tiles", "solar cells")]
        for by in (("PCA error, whole image",), ("windows", "reconstruction"))
    )
    gain = [of("rows_summary", "mean difference", f"{head}, 20") for head in (LR, SVC)]
    backbone = "a pre-trained network"
    found = {
        (f"few labels, {backbone}", "six sets, balanced accuracy ↑"): (
            f"{LR} {few[0]}",
            f"**`VAEClassifier` {few[1]}**",
        ),
        ("few labels, pixels alone", "MNIST, 100 labels, error ↓"): (
            f"PCA and SVC {digits[0]}",
            f"**`VAETransformer` and SVC {digits[1]}**",
        ),
        (f"all labels, {backbone}", "steel, balanced accuracy ↑"): (
            f"**frozen, and {LR} {steel[0]}**",
            f"`VAETransformer` and SVC {steel[1]}",
        ),
        ("all labels, pixels alone", "Fashion-MNIST, 10,000 labels, error ↓"): (
            f"SVC {many[0]}",
            f"mean and SVC {many[1]}, **hidden features {many[2]}**",
        ),
        ("small grey pictures", "X-rays, balanced accuracy ↑"): (
            f"**HOG and {LR} {grey[0]}**",
            f"`VAETransformer` and {LR} {grey[1]}",
        ),
        ("rare classes", "Fashion-MNIST, SVC, mean recall ↑"): (
            f"SMOTE {recall[1]}, class weights {recall[0]}, **shifts and turns {recall[2]}**",
            f"`VAEAugmenter` {recall[3]}",
        ),
        ("strange pictures", "steel, one kind known, AUROC ↑"): (
            f"IsolationForest {strange[0]}, {LOF} {strange[1]}",
            f"**`VAEDetector` {strange[2]}**",
        ),
        (f"small defects, {backbone}", "tiles, AUROC ↑"): (
            f"nearest neighbours {places[0]}",
            f"**`VAEDetector(patches=...)` {places[1]}**",
        ),
        ("small defects, pixels alone", "tiles; solar cells, AUROC ↑"): (
            f"PCA's error {pca[0]}; **{pca[1]}**",
            f"`VAEDetector(patches=...)` **{windows[0]}**; {windows[1]}",
        ),
        ("rows", "20 labels a class, gain over PCA, points"): (
            "PCA",
            f"`VAETransformer` and {LR} {gain[0]}, and SVC {gain[1]}",
        ),
    }
    names = "you have", "measured on, %", "without a VAE", "sklearn_vae"
    return [dict(zip(names, (*job, *cells), strict=True)) for job, cells in found.items()]


def overview() -> Records:
    """Return the rows of the benchmarks' front page: README's, and where it is level or loses."""
    digits, few, one_class, steel, cells = front()
    many = [of("heads", k, FASHION, SVC, "10,000") for k in ("VAE mean", HIDDEN, "raw pixels")]
    both = "VAE of 100 labels, spread", "PCA-50, spread"
    seen = [of("clusters", "100 labels", name) for name in both]
    deformed = [of("shaped", "ACSA", MNIST, name) for name in ("VAE deformation", "shifts (flips)")]
    drawn = [of("shaped", "ACSA", FASHION, name) for name in ("VAE posterior", "nothing")]
    pair, svm, path = f"SVHN → {CIFAR}", "OneClassSVM", "VAE, path"
    foreign = [of("foreign", name, pair) for name in (path, LOF)]
    tiles = [of("surfaces", name, "tiles without a defect") for name in (path, svm)]
    rows = [
        digits.values(),
        (
            "Fashion-MNIST, 10,000 labels, SVC on the mean",
            "error ↓",
            many[0],
            many[2],
            "raw pixels",
        ),
        ("- on hidden features", "error ↓", many[1], many[2], "raw pixels"),
        few.values(),
        ("MNIST, 100 labels seen by the VAE", "error ↓", *seen, "PCA, LabelSpreading"),
        ("rare classes of MNIST, synthetic images", "recall ↑", *deformed, "the same VAE, shifts"),
        ("- of Fashion-MNIST", "recall ↑", *drawn, "the same VAE, class weights"),
        one_class.values(),
        ("SVHN known, CIFAR-10 found", "AUROC ↑", *foreign, LOF),
        steel.values(),
        ("magnetic tiles, whole images", "AUROC ↑", *tiles, svm),
        cells.values(),
    ]
    return [dict(zip(digits, row, strict=True)) for row in rows]


def heads() -> Records:
    """Return the rows of the summary: heads by number of labels, features beside each other."""
    linear, mean, many = ("raw pixels", "PCA-50"), ("VAE mean", HIDDEN), (1000, 10_000)
    symmetric = {f"{HIDDEN}, symmetric": HIDDEN}
    parts = []
    for data, later in ((MNIST, "mnist_100"), (FASHION, "stages")):
        parts += [r for r in first(data, linear, (LR, SVC)) if r["labels"] == 100]
        parts += take(f"classification/{later}", features=mean, head=(LR, SVC), labels=100)
        parts += take(f"classification/{data.lower().split('-')[0]}_100", head=SPREADING)
        parts += [r for r in first(data, linear, SVC) if r["labels"] > 100]
        later = "mnist_hidden" if data == MNIST else later
        parts += take(f"classification/{later}", head=SVC, labels=many)
        if data == FASHION:
            parts += every("fashion_wide", 60_000, SVC, {HIDDEN: HIDDEN})
    parts += take("classification/cifar10", features=(*linear, "VAE mean"), head=SVC)
    parts += take("classification/cifar10_symmetric", features=symmetric, head=SVC)
    parts += every("cifar10_jpeg", 50_000, LR, {"pixels": "raw pixels"})
    parts += every("cifar10_symmetric", 50_000, LR, {HIDDEN: HIDDEN})
    records = each(parts, labels=lambda r: f"{r['labels']:,}")
    records = each(records, data=lambda r: r["data"].replace(" (JPEG)", "*"))
    table = pivot(records, ("data", "labels", "head"), "features", "error")
    return [{k: row[k] for k in ("data", "head", "labels", *linear, *mean)} for row in table]


def every(name: str, n: int, head: str, features: dict[str, str]) -> Records:
    """Return the errors with all n labels of a set."""
    records = take(f"all_labels/{name}", head=head, features=features)
    data = SETS[load(f"all_labels/{name}")["args"]["data"]]
    return [{**r, "data": data, "labels": n, "error": 100 - r["accuracy"]} for r in records]


def backbones() -> Records:
    """Balanced accuracies with all labels, of frozen backbones and of pixels."""
    names = {"raw pixels": "raw pixels", "mobilenet": "MobileNet v1 0.25", "lite0": "Lite0"}
    records = take("backbone/labels", features=names)
    records = each(records, data=lambda r: {"cifar10": "CIFAR-10 subset"}.get(r["data"], r["data"]))
    return pivot(records, ("data",), "features", "score", one_digit)


# -- labels ----------------------------------------------------------------------------------------


def labels() -> Records:
    """Test errors in % of VAEs that see labels, and of controls."""
    both = "labels and images"
    names = {name: name for name in (both, "images alone", "labels alone")}
    names |= {"PCA-50": "PCA-50 + SVC", "raw pixels": "raw + SVC"}
    paste = "labels/mnist_paste"
    records = [
        *take("labels/main", labels={100: "100"}, contender=names),
        *take(paste, labels={100: "100, p"}, contender=both),
        *take(paste, labels={100: "100, s"}, contender={f"{both}, spread": both}),
        *take("labels/main", data=(MNIST, FASHION, "SVHN"), labels={1000: "1,000"}),
    ]
    records = each(records, contender=lambda r: names.get(r["contender"], r["contender"]))
    table = pivot(records, ("data", "labels"), "contender", "error")
    for row in table:
        same = [r for r in records if (r["data"], r["labels"]) == (row["data"], row["labels"])]
        row["draws"] = len({r["draw"] for r in same})
    return [{k: row[k] for k in ("data", "labels", "draws", *names.values())} for row in table]


def clusters() -> Records:
    """Test errors in % with a few labels of MNIST, behind VAEs that have learnt clusters."""
    records = [r for r in take("clusters/main") if "draw" in r]
    each_draw = "VAE of 100 labels, spread"
    records += take("labels/mnist_paste", contender={"labels and images, spread": each_draw})
    records = each(records, column=lambda r: f"{r['labels']} labels")
    return pivot(records, ("contender",), "column", "error")


def ablation_labels() -> Records:
    """Errors in % with one part of ``label_weight`` changed."""
    variants = {
        "all parts": "`label_weight=1`",
        "no augmentation": "- without augmentation",
        "no pseudo-labels": "- without pseudo-labels",
        "no other images": "- without the other images",
        "no ELBO": "- without the ELBO",
        "paste=0.5 as well": "- with `paste=0.5`",
        "no labels": "`label_weight=0`, for control",
    }
    files = ("main", "fashion_100", "fashion", "fashion_all")
    records = take(*(f"ablation_labels/{name}" for name in files), variant=variants)
    title = {100: "100", 1000: "1,000", 0: "all"}
    records = each(records, what=lambda r: f"{r['data']}, {title[r['labels']]}")
    return pivot(records, ("variant",), "what", "error")


def labels_all() -> Records:
    """Accuracies with all labels: one seed of each network and augmentation."""
    wide, resnet = "`Conv((64, 128, 256), batch_norm=True)`", '`"resnet"`'
    table = []
    for name, network, augment in (
        ("main", '`"auto"`', "auto"),
        ("fashion_wide", wide, "auto"),
        ("fashion_natural", wide, "natural"),
        ("fashion_wide14", wide, "small moves"),
        ("fashion_resnet", resnet, "small moves"),
        ("cifar10", wide, "auto"),
        ("cifar10_resnet", resnet, "auto"),
        ("cifar10_resnet20", resnet, "auto"),
    ):
        args = load(f"labels/{name}")["args"]
        (record,) = take(f"labels/{name}", labels=0)
        row = {"data": record["data"], "network": network, "augment": augment}
        row["epochs"] = args.get("labels_all", args)["epochs"]
        row["minutes of one core"] = f"{record['cpu_seconds'] / 60:.0f}"
        table.append({**row, "accuracy": f"{100 - record['error']:.2f}"})
    return table


# -- synthetic images ------------------------------------------------------------------------------


def scores(rows: tuple[str, ...], *names: str, **where: Any) -> Records:
    """Return mean recall, GM and F1."""
    records = take(*(f"augmentation/{name}" for name in names), **where)
    return pivot(records, rows, None, ("ACSA", "GM", "F1"))


DEFORMED = {"treatment": "VAE of these, deformation"}


def few_ten() -> Records:
    """Recall with ten images a class."""
    titles = {0: "real only", 1: "1 x", 5: "5 x", 20: "20 x"}
    more = ("few_deformation_fashion", "few_deformation_mnist")
    records = take("augmentation/few", n_new=titles)
    where = {"n_new": titles, "per class": 10, **DEFORMED}
    records += take(*(f"augmentation/{name}" for name in more), **where)
    return pivot(records, ("data", "treatment"), "n_new", "ACSA")


def few_more() -> Records:
    """Recall with fifty and with two hundred images a class, 20 and 5 synthetic ones for each."""
    records = []
    for data, short in ((MNIST, "mnist"), (FASHION, "fashion")):
        for n, times in ((50, (0, 20)), (200, (0, 5))):
            where = {"n_new": times, "per class": n, "data": data}
            found = take("augmentation/few_more", **where)
            found += take(f"augmentation/few_deformation_{short}", **where, **DEFORMED)
            records += [{**r, "what": f"{data}, {n}"} for r in found]
    return pivot(records, ("treatment",), "what", "ACSA")


def online() -> Records:
    """Test errors in % with fresh images in every step."""
    names = (
        *("mnist", "geometric", "deformation", "fashion", "geometric_fashion"),
        *("deformation_fashion", "flips_fashion", "fashion_2048", "flips_fashion_2048"),
    )
    records = take(*(f"augmentation/online_{name}" for name in names))
    records = each(records, units=lambda r: f"{r.get('units', 1024):,}")
    published = (("nothing", "1.17", "8.56"), ("Exemplar VAE", "0.69", "8.16"))
    return pivot(records, ("units", "treatment"), "data", "error") + [
        {"units": "published", "treatment": name, MNIST: a, FASHION: b} for name, a, b in published
    ]


# -- ablations, likelihood -------------------------------------------------------------------------


def changed(name: str, elbo: bool = False, kinds: str = "mean hidden", **where: Any) -> Records:
    """Errors with one setting changed: mean and hidden features, 100 and 1,000 labels."""
    table: dict[str, Record] = {}
    for record in take(f"ablation/{name}", **where):
        row = table.setdefault(record["variant"], {"variant": record["variant"]})
        for key, value in record.items():
            if f"{key} sd" in record and key.split(",")[0] in kinds:
                kind, _, n = key.split(", ")
                row[f"{record['data']} {kind} {n}"] = f"{value:.2f} ± {record[f'{key} sd']:.2f}"
        if elbo and "ELBO" in record:
            row[f"{record['data']} ELBO"] = f"{record['ELBO']:.1f}"
    return list(table.values())


def likelihood(key: str, **variants: str) -> Records:
    """Return negative log-likelihoods in nats, a row for each file and variant."""
    table: Records = []
    for title, where in variants.items():
        name, _, variant = where.partition(": ")
        found = take(f"likelihood/{name}", variant=f"784-400-40{variant}")
        args = load(f"likelihood/{name}")["args"]
        low, high = (f"{end(r['fit seconds'] for r in found):.0f}" for end in (min, max))
        row = {key: title, "epochs": found[0]["epochs"], "batch": args["batch_size"]}
        row |= {"seeds": len(found), "fit seconds": low if low == high else f"{low} to {high}"}
        scores = ("train NLL", "valid NLL", "test -ELBO", "test NLL")
        table.append(row | {score: spread([r[score] for r in found]) for score in scores})
    return table


# -- anomalies -------------------------------------------------------------------------------------


def anomalies(key: str, column: str, *names: str, cell: Callable = mean, **where: Any) -> Records:
    """Return AUROC in %, the contenders as rows (``key`` is their title) or as the column."""
    records = take(*(f"anomaly/{name}" for name in names), contender=CONTENDERS, **where)
    records = each(records, pair=lambda r: f"{r['data']} → {r.get('foreign')}")
    source = "contender" if column != "contender" else "pair" if "→" in key else "data"
    return pivot(each(records, **{key: lambda r: r[source]}), (key,), column, "AUROC", cell)


def alarm_rates() -> Records:
    """Rates of false alarms in %, means over classes and splits, and the farthest class."""
    title, asked = "asked for: 1 · 5 · 10", (1, 5, 10)
    records = take(*(f"anomaly/rates_{name}" for name in RATED), contender=CONTENDERS)
    records = [
        {**r, title: r["contender"], "rates": [r[f"alarms at {rate} %"] for rate in asked]}
        for r in records
    ]

    def means(rows: list[list[float]]) -> list[float]:
        return [statistics.fmean(column) for column in zip(*rows, strict=True)]

    def told(rates: Iterable[float]) -> str:
        return " · ".join(f"{rate:.1f}" for rate in rates)

    table = pivot(records, (title,), "data", "rates", lambda rows: told(means(rows)))
    for row in table:
        classes: dict[tuple, list[list[float]]] = {}
        for r in records:
            if r[title] == row[title]:
                classes.setdefault((r["data"], r["normal"]), []).append(r["rates"])
        by_class = list(map(means, classes.values()))
        far = [
            max((rates[i] for rates in by_class), key=lambda found, rate=rate: abs(found - rate))
            for i, rate in enumerate(asked)
        ]
        row["farthest class"] = told(far)
    return table


def surfaces() -> Records:
    """AUROC in % on steel and tiles."""
    kinds = "crazing", "inclusion", "patches", "pitted surface", "rolled-in scale", "scratches"
    key, steel = "trained on", {"data": "steel", "contender": CONTENDERS}
    records = each(take("anomaly/defects", **steel), **{key: lambda r: "steel, mean of six"})
    singles = {i: f"- {kind}" for i, kind in enumerate(kinds)}
    records += each(
        take("anomaly/defects", **steel, normal=singles), **{key: lambda r: r["normal"]}
    )
    tiles = take("anomaly/defects", data="tiles")
    records += each(tiles, **{key: lambda r: "tiles without a defect"})
    return pivot(records, (key,), "contender", "AUROC", mean)


def defects() -> Records:
    """AUROC in % by an image's worst places, beside whole images; of steel a mean over classes."""
    names = ("tiles", "tiles_pixels", "solar", "solar_cells", "steel")
    records = take(*(f"anomaly/local_{name}" for name in names))
    return pivot(records, ("of", "by", "method"), "data", "AUROC", mean)


# -- speed -----------------------------------------------------------------------------------------


def machine(name: str) -> str:
    """Return what a benchmark ran on, in a line."""
    found = load(name)["environment"]
    fast = "fast" if found["fast bfloat16"] else "no fast"
    return (
        f"{found['cpu']}, {found['threads']} threads, {fast} bfloat16; Python {found['python']}, "
        f"torch {found['torch'].partition('+')[0]}, scikit-learn {found['sklearn']}, skorch "
        f"{found['skorch']}."
    )


def formatted(rows: Records, **how: str) -> Records:
    """Return the named columns, in their formats."""
    return [{key: format(row[key], f) for key, f in how.items() if key in row} for row in rows]


def speed_train(rows: Records) -> Records:
    """Images a second in training, and how many times those of loop, skorch, pythae."""
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
    return out


def scaling_parallel(rows: Records) -> Records:
    """How many times as fast two processes are, in the median of the rounds, and its range."""

    def faster(row: Record, than: str, what: str = "") -> str:
        pairs = zip(row[what + than], row[f"{what}2 processes"], strict=True)
        ratios = sorted(alone / together for alone, together in pairs)
        return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"

    return [
        {
            "net": row["net"],
            "epoch, than 1 thread": faster(row, "1 thread"),
            "epoch, than 2 threads": faster(row, "2 threads"),
            "fit, than 1 thread": faster(row, "1 thread", "fit, "),
            "fit, seconds": f"{statistics.median(row['fit, 2 processes']):.1f}",
            "first fit's start, seconds": f"{statistics.median(row['start']):.1f}",
        }
        for row in rows
    ]


def rows_paired(rows: Records) -> Records:
    """PCA's and the VAE's scores, and their difference by draw with two standard errors."""
    out: dict[tuple[str, ...], Record] = {}
    for row in rows:
        data = SETS.get(row["data"], row["data"])
        key = {"data": data, "backbone": row["backbone"], "head": row["head"]}
        line, n = out.setdefault(tuple(key.values()), key), row["labels"]
        if row["features"].startswith("PCA"):
            line[f"{n}: PCA"] = row["balanced_accuracy"]
            continue
        line[f"{n}: VAE"] = row["balanced_accuracy"]
        gains = [a - b for a, b in zip(line[f"{n}: VAE"], line[f"{n}: PCA"], strict=True)]
        error = 2 * statistics.stdev(gains) / len(gains) ** 0.5
        line[f"{n}: VAE - PCA"] = f"{statistics.fmean(gains):+.1f} ± {error:.1f}"
    return [{k: mean(v) if isinstance(v, list) else v for k, v in r.items()} for r in out.values()]


def rows_summary(rows: Records) -> Records:
    """Mean difference over cells, and how many cells are how far behind."""
    of: dict[str, list[tuple[float, float]]] = {}
    pairs: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("data", "backbone", "head", "labels"))
        if row["features"].startswith("PCA"):
            pairs[key] = row["balanced_accuracy"]
            continue
        gains = [a - b for a, b in zip(row["balanced_accuracy"], pairs[key], strict=True)]
        error = 2 * statistics.stdev(gains) / len(gains) ** 0.5
        of.setdefault(f"{row['head']}, {row['labels']}", []).append(
            (statistics.fmean(gains), error)
        )
    return [
        {
            "head, labels a class": name,
            "cells": len(cells),
            "mean difference": f"{statistics.fmean(gain for gain, _ in cells):+.2f}",
            "behind by more than 1 point and 2 standard errors": sum(g < -1 - e for g, e in cells),
            "ahead by more than 2 standard errors": sum(g > e for g, e in cells),
        }
        for name, cells in of.items()
    ]


def scaling_growth(rows: Records) -> Records:
    """CPU seconds against the number of images and of classes."""
    counts = [next(name for name in ("images", "classes") if name in row) for row in rows]
    rows = [{**r, "n": f"{r[c]:,} {c}"} for r, c in zip(rows, counts, strict=True)]
    return pivot(rows, ("of",), "n", "seconds", lambda values: f"{values[0]:.2g}")


def scaling_rate(rows: Records) -> Records:
    """Images a second from each place, and how that compares with the array's in each round."""
    epoch, fit, cpu = "epoch seconds", "fit seconds", "fit CPU seconds, this process"
    array = next(row for row in rows if row["where"] == "array")
    return [
        {
            "where": row["where"],
            "images a second": f"{row['images'] / statistics.median(row[epoch]):,.0f}",
            "of the array's": ratio(row[epoch], array[epoch]),
            "fit, s": f"{statistics.median(row[fit]):.0f}",
            "CPU of this process, s": f"{statistics.median(row[cpu]):.0f}",
        }
        for row in rows
    ]


def sizes_time(rows: Records) -> Records:
    """Minutes and memory of a fit to large pictures, by the defaults and by those before."""
    was = "before: minutes"
    return formatted(
        [{**row, was: row["minutes before"]} for row in rows],
        **{"pixels": "", "images": ",", "epochs": "", "batch": "", "minutes": ".1f", was: ",.0f"},
        **{"memory, GiB": ".2f"},
    )


def sizes_error(rows: Records) -> Records:
    """Squared errors of reconstructions, times 1,000, and how many times that of PCA."""
    cells = [
        {
            **row,
            "data": f"{row['data']}, {row['pixels']}",
            "what": title,
            "value": value,
        }
        for row in rows
        for title, value in (
            (row["contender"], 1000 * row["error"]),
            *([(f"{row['contender']} / PCA", row["ratio"])] if "seed" in row else []),
        )
    ]
    return pivot(cells, ("data", "z_dim"), "what", "value")


def sizes_features(rows: Records) -> Records:
    """Balanced accuracies in % of an SVC on the mean and on hidden features."""
    heads = "mean, SVC", "hidden, SVC"
    where = {"data": lambda r: f"{r['data']}, {r['pixels']}"}
    cells = [
        {**row, "what": f"{row['contender']} {head.split(',')[0]}", "value": row[head]}
        for row in each(rows, **where)
        for head in heads
        if head in row
    ]
    return pivot(cells, ("data", "z_dim"), "what", "value", one_digit)


def sizes_digits(rows: Records) -> Records:
    """Accuracies in % on small digits, by batch size, and how far the present one is ahead."""
    cells: dict[tuple, dict[str, dict[int, float]]] = {}
    for r in rows:
        cell = cells.setdefault((r["images"], r["features"], r["head"]), {})
        cell.setdefault(r["batch_size"], {})[r["seed"]] = r["accuracy"]
    return [
        {
            **dict(zip(("images", "features", "head"), key, strict=True)),
            **{title: one_digit(list(cell[size].values())) for title, size in BATCHES.items()},
            "ahead": "{:+.1f} ± {:.1f}".format(*paired(cell, "auto", "256")),
        }
        for key, cell in cells.items()
    ]


def speed_encode(rows: Records) -> Records:
    """Images a second in encoding and decoding, beside the raw loop's."""
    out = []
    for ours, raw in zip(rows[::2], rows[1::2], strict=True):
        assert (ours["contender"], raw["contender"]) == (OURS, "raw loop")
        line = {"net": ours["net"], "method": ours["method"]}
        line |= {r["contender"]: f"{r['per second']:,.0f}" for r in (ours, raw)}
        out.append(line | {"x raw loop": ratio(ours["seconds"], raw["seconds"])})
    return out


# -- few labels behind frozen backbones ------------------------------------------------------------


def by_cell(records: Records, key: str) -> dict[tuple, dict[str, dict[int, float]]]:
    """Return what each contender has in each draw, by set, backbone and number of labels."""
    cells: dict[tuple, dict[str, dict[int, float]]] = {}
    for r in records:
        if "draw" in r:
            cell = cells.setdefault((r["data"], r["backbone"], r["labels"]), {})
            cell.setdefault(r["contender"], {})[r["draw"]] = r[key]
    return cells


def paired(cell: dict[str, dict[int, float]], name: str, base: str) -> tuple[float, float]:
    """Return how far one is ahead of another over common draws, and two standard errors."""
    both = sorted(cell[name].keys() & cell[base].keys())
    ahead = [cell[name][draw] - cell[base][draw] for draw in both]
    error = 2 * statistics.stdev(ahead) / len(ahead) ** 0.5 if len(ahead) > 1 else 0.0
    return statistics.fmean(ahead), error


def latest(*names: str) -> Records:
    """Return the records of draws; one that a later file has anew counts there."""
    keys = ("data", "backbone", "contender", "labels", "draw")
    found = {tuple(r[key] for key in keys): r for r in take(*names) if "draw" in r}
    return list(found.values())


def few_labels_cells(*names: str) -> Records:
    """Return mean balanced accuracies in % by number of labels."""
    records = latest(*names)
    counted = each(records, column=lambda r: f"{r['labels']}")
    rows = [key for key in ("data", "backbone", "contender") if any(r[key] for r in records)]
    return pivot(counted, rows, "column", "balanced_accuracy", one_digit)


def few_labels_summary(*names: str, base: str = LR) -> Records:
    """Return ranks on the draws that all have, the worst cells, log losses and seconds."""
    records = latest(*names)
    right, lost = (by_cell(records, key) for key in ("balanced_accuracy", "log_loss"))
    contenders = list(dict.fromkeys(r["contender"] for r in records))
    ranks: dict[str, list[float]] = {name: [] for name in contenders}
    means: dict[str, list[float]] = {name: [] for name in contenders}
    for cell in right.values():
        common = set.intersection(*(set(found) for found in cell.values()))
        mean = {k: statistics.fmean(cell[k][draw] for draw in common) for k in contenders}
        for k in contenders:
            means[k].append(statistics.fmean(cell[k].values()))
            ahead = sum(mean[other] > mean[k] for other in contenders)
            ranks[k].append(1 + ahead + sum(mean[o] == mean[k] for o in contenders if o != k) / 2)
    table = []
    for k in contenders:
        spent = [r["seconds"] for r in records if r["contender"] == k]
        row = {
            "": k,
            "draws": len({r["draw"] for r in records if r["contender"] == k}),
            "mean rank": f"{statistics.fmean(ranks[k]):.2f}",
            "mean": f"{statistics.fmean(means[k]):.1f}",
        }
        for title, few in (("1, 2 labels", (1, 2)), ("5 and more", (5, 10, 20))):
            worst = min(
                (paired(cell, k, base) for where, cell in right.items() if where[2] in few),
                key=lambda found: found[0],
            )
            row[f"worst cell, {title}"] = "" if k == base else f"{worst[0]:+.1f} ± {worst[1]:.1f}"
        many = [paired(cell, k, base)[0] for where, cell in lost.items() if where[2] >= 5]
        row["log loss, 5 and more"] = "" if k == base else f"{statistics.fmean(many):+.2f}"
        row["worst"] = "" if k == base else f"{max(many):+.2f}"
        row["seconds"] = f"{statistics.fmean(spent):.1f}, at most {max(spent):.0f}"
        table.append(row)
    return table


# -- synthetic rows behind frozen backbones --------------------------------------------------------


def beside(records: Records, base: str, rows: str, columns: Mapping[Any, Records]) -> Records:
    """Return means over sets, backbones and draws, and how far each is ahead of a base.

    That is paired: the mean over cells in each draw that both have, ± two standard errors.
    """
    table = []
    for name in dict.fromkeys(r[rows] for r in records):
        row = {rows: name}
        for title, found in columns.items():
            draws: dict[str, dict[int, list[float]]] = {name: {}, base: {}}
            for r in found:
                if r[rows] in draws:
                    draws[r[rows]].setdefault(r["draw"], []).append(r["value"])
            means = {k: {d: statistics.fmean(v) for d, v in x.items()} for k, x in draws.items()}
            row[str(title)] = f"{statistics.fmean(means[name].values()):.1f}" if means[name] else ""
            if means[name] and name != base:
                ahead, error = paired(means, name, base)
                row[str(title)] += f" ({ahead:+.1f} ± {error:.1f})"
        table.append(row)
    return table


def rows_few() -> Records:
    """Balanced accuracies in %, by treatment and number of labels."""
    where = {"contender": "VAEClassifier", "backbone": "mobilenet", "labels": (1, 2, 5)}
    classifier = take("few_labels/main", **where)
    records = take(ROWS_FEW) + each(classifier, treatment=lambda r: "no synthesis, VAEClassifier")
    records = each(records, value=lambda r: r["balanced_accuracy"])
    counts = dict.fromkeys(r["labels"] for r in records)
    by_labels = {f"{n} a class": [r for r in records if r["labels"] == n] for n in counts}
    return beside(records, "nothing", "treatment", by_labels)


def rows_few_sets() -> Records:
    """Balanced accuracies in %, by set, treatment and number of labels."""
    records = take(ROWS_FEW)
    return pivot(records, ("data", "treatment"), "labels", "balanced_accuracy", one_digit)


def rows_rare() -> Records:
    """Scores in %, by set and treatment."""
    table = []
    runs = {"solar cells": ("rare", "rare_conditional"), "solar cells, Lite0": ("rare_lite0",)}
    for data, names in {**runs, "tiles": ("rare",)}.items():
        paths = (f"augmentation_rows/{name}" for name in names)
        records = take(*paths, data=data.partition(",")[0])
        scores = {
            title: each(records, value=lambda r, key=key: r[key])
            for title, key in (
                ("balanced accuracy", "balanced_accuracy"),
                ("F1", "F1"),
                ("average precision", "average_precision"),
            )
        }
        found = beside(records, "class weights", "treatment", scores)
        table += [{"data": data, **row} for row in found]
    return table


# -- pages -----------------------------------------------------------------------------------------

BY = ("classifier", "treatment")
SHAPED = (
    *("shaped", "shaped_fashion_shifts", "shaped_fashion_geometric", "shaped_mnist"),
    *("shaped_mnist_smote", "shaped_mnist_shifts", "shaped_mnist_geometric"),
    *("shaped_deformation_mnist", "shaped_cifar10", "shaped_cifar10_geometric"),
)
STAGES = {
    "default": "all stages",
    "features: hidden, last stage alone": "the last stage alone",
    "features: hidden as they are": "all, as they are",
    "features: standardised": "all, standardised",
}
MODELS = ("default", "prior='mixture'", "prior='vamp'", "posterior='iaf'", "importance_samples=5")
WAYS = ("main", "mixture", "self_training", "m2", "m2_more")
FEW_LABELS = tuple(f"few_labels/{name}" for name in WAYS)
RAW_SETS = ("pneumoniamnist", "sign_digits", "neu_surface", "cifar10", "svhn", "elpv_128")
RAW_IMAGES = tuple(f"few_labels/images_{name}" for name in RAW_SETS)
ROWS_FEW = "augmentation_rows/few"
SIZES = (
    *("error_sign_digits", "error_elpv_128", "error_magnetic_tile_192", "error_64"),
    *("signs", "steel_present", "steel"),
)
ERRORS = tuple(f"sizes/{name}" for name in SIZES)
TABLES: dict[str, Callable[[], Records]] = {
    "sizes_error": lambda: sizes_error(take(*ERRORS)),
    "sizes_features": lambda: sizes_features(take(*ERRORS)),
    "sizes_digits": lambda: sizes_digits(take("sizes/digits", "sizes/digits_all")),
    "backbones": backbones,
    "classification_mnist": lambda: few_labels(
        first(MNIST, [*LINEAR, "VAE mean"]),
        take("classification/mnist_100", "classification/mnist_hidden", features=HIDDEN),
        take("classification/mnist_100", head=SPREADING),
        first(MNIST, LAST),
    ),
    "classification_fashion": lambda: few_labels(
        first(FASHION, LINEAR),
        take("classification/stages", head=(LR, SVC, MLP)),
        take("classification/fashion_100", head=SPREADING),
        take("classification/fashion_wide", features={HIDDEN: "wider, hidden"}),
        first(FASHION, LAST),
    ),
    "classification_cifar10": lambda: few_labels(
        take("classification/cifar10", features=[*LINEAR, "VAE mean"]),
        take("classification/cifar10_hidden", features=HIDDEN),
        take(
            "classification/cifar10_symmetric",
            features={HIDDEN: "- once more", f"{HIDDEN}, symmetric": "- symmetric"},
        ),
        take("classification/cifar10", features=LAST),
    ),
    "unbalanced_fashion": lambda: scores(BY, "unbalanced", data=FASHION),
    "unbalanced_mnist": lambda: scores(BY, "unbalanced", "deformation_mnist", data=MNIST),
    "shaped": lambda: scores(("data", "treatment"), *SHAPED),
    "network": lambda: scores(("treatment",), "network"),
    "ablation": lambda: changed("main"),
    "ablation_models": lambda: changed("models", variant=MODELS),
    "ablation_full": lambda: changed("full", elbo=True),
    "ablation_stages": lambda: changed("stages", kinds="hidden", variant=STAGES),
    "likelihood_priors": lambda: likelihood(
        "prior", normal="main", mixture="priors: , mixture prior", VampPrior="priors: , VampPrior"
    ),
    "likelihood_posteriors": lambda: likelihood("posterior", normal="normal", IAF="iaf: , IAF"),
    "alarm_areas": lambda: anomalies("AUROC of", "data", *(f"rates_{name}" for name in RATED)),
    "foreign": lambda: anomalies(
        *("trained on → foreign", "contender", "foreign", "foreign_fashion_seeds"),
        *("foreign_mnist", "foreign_svhn"),
        cell=one_digit,
    ),
    "one_class": lambda: anomalies(
        *("data", "contender", "mnist", "one_class"), cell=lambda values: mean(values, 2)
    ),
    "classes_mnist": lambda: anomalies("MNIST class", "normal", "mnist"),
    "classes_fashion": lambda: anomalies("Fashion-MNIST class", "normal", "one_class"),
    "few_labels_summary": lambda: few_labels_summary(*FEW_LABELS),
    "few_labels_main": lambda: few_labels_cells(*FEW_LABELS),
    "few_labels_images": lambda: few_labels_cells(*RAW_IMAGES),
    **{
        make.__name__: make
        for make in (
            *(all_labels, small_sets, front, choice, overview, heads),
            *(labels, clusters, ablation_labels, labels_all),
            *(few_ten, few_more, online, alarm_rates, surfaces, defects),
            *(rows_few, rows_few_sets, rows_rare),
        )
    },
    "rows_summary": lambda: rows_summary(take("rows/main")),
    "rows_paired": lambda: rows_paired(take("rows/main")),
}
TIMED: dict[str, Callable[[Records], Records]] = {
    "speed_train": speed_train,
    "speed_elbo": lambda rows: formatted(
        rows,
        **{"net": "", "seed": "", "contender": "", "epochs": ""},
        **{"seconds": ".1f", "ELBO": ".1f", "x loop": ".2f"},
    ),
    "speed_modes": lambda rows: pivot(
        [{**row, "ELBO": elbo} for row in rows for elbo in row["all"]],
        *(("net", "mode"), None, ["ELBO"], one_digit),
    ),
    "speed_encode": speed_encode,
    "speed_start": lambda rows: formatted(
        [{**r, "rounds": len(r["all"])} for r in rows], what="", median=".2g", rounds=""
    ),
    "scaling_memory": lambda rows: formatted(rows, **{"case": "", "beyond, MiB": ".0f"}),
    "scaling_time": lambda rows: formatted(
        rows,
        **{"images": ",", "epochs": "", "fit seconds": ".3g"},
        **{"us per image and epoch": ".1f", "share outside batches, %": ".2f"},
    ),
    "scaling_growth": scaling_growth,
    "scaling_parallel": scaling_parallel,
    "scaling_rate": scaling_rate,
    "scaling_peak": lambda rows: pivot(
        [{**row, "images": f"{row['images']:,} images"} for row in rows],
        *(("where",), "images", "peak, MiB", lambda values: f"{values[0]:.0f} MiB"),
    ),
    "scaling_sorted": lambda rows: pivot(rows, ("chunks",), "set", "accuracy", one_digit),
    "sizes_time": sizes_time,
    "search_backends": lambda rows: formatted(
        rows,
        **{"data": "", "backend": "", "CPU seconds": ".1f", "of loky's": ".2f", "seconds": ".1f"},
    ),
    "search": lambda rows: pivot(
        rows, ("data",), "what", "value", lambda values: f"{values[0]:.3g}"
    ),
}
"""Tables that depend on the machine, and name it: functions of a file's records."""


def table(name: str) -> str:
    """Return a table, and below it the machine where it counts."""
    if name not in TIMED:
        return markdown_table(TABLES[name]())
    script, _, part = name.partition("_")
    path = f"{script}/{part or 'main'}"
    if not exists(path):
        return "Not measured yet."
    return f"{markdown_table(TIMED[name](load(path)['results']))}\n\n{machine(path)}"


def written(text: str) -> str:
    """Return a page with its tables made anew."""
    return TABLE.sub(lambda match: f"{match[1]}{table(match[2])}\n{match[3]}", text)


def main() -> None:
    """Write the pages, or compare them with what would be written."""
    args = arguments(__doc__, check=False)
    for page in PAGES:
        before = page.read_text("utf-8")
        after = written(before)
        if args.check and after != before:
            sys.exit(f"{page.name} is not what the files in results/ give")
        if after != before:
            page.write_text(after, "utf-8")


if __name__ == "__main__":
    main()
