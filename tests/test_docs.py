"""The documentation names what there is: examples, public names, targets of links."""

import ast
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers import synthetic_images

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
GUIDE = sorted((ROOT / "docs/guide").glob("*.md"))
SITE = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*/*.md")])
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "NOTES.md", *SITE]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
GENERATED = re.compile(r"gallery/(?:images/sphx_glr_)?(\w+?)(?:_\d{3}\.png|\.rst)")
"""What the build makes of an example, or, for ``index``, of the gallery's README."""


def _anchors(page):
    """Return the anchors of a page's headings, by the rule that GitHub and MyST share."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _source(page, target):
    """Return the file that a link's target is, or is built from."""
    made = GENERATED.fullmatch(target)
    if made is None or page.name != "index.md":
        return page.parent / target if target else page
    name = made[1]
    return ROOT / "examples" / ("README.rst" if name == "index" else f"{name}.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_repository_have_a_target(page):
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        source = _source(page, target)
        assert source.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in _anchors(source), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_compiles_and_can_be_found(path):
    text = path.read_text(encoding="utf-8")
    compile(text, str(path), "exec")
    assert path.name.startswith("plot_"), "the gallery runs plot_*.py only"
    title, rule, *_ = (ast.get_docstring(ast.parse(text)) or "\n").split("\n")
    assert title
    assert rule == "=" * len(title)
    link = f"(../../examples/{path.name})"
    assert any(link in page.read_text(encoding="utf-8") for page in GUIDE)


@pytest.mark.parametrize("path", GUIDE, ids=lambda path: path.stem)
def test_a_page_of_the_guide_runs_and_has_a_picture(path):
    text = path.read_text(encoding="utf-8")
    code = "".join(re.findall(r"^```python\n(.*?)^```$", text, flags=re.M | re.S))
    if path.stem not in ("index", "choose"):
        assert code
        assert re.search(r"^<!-- picture: .+ -->\n```python$", text, flags=re.M)
    imported = re.findall(r"^(?:import|from) (\w+)", code, flags=re.M)
    missing = {name for name in imported if find_spec(name) is None}
    assert not missing, f"blocks that the build cannot run are ```py, not ```python: {missing}"


def test_the_picture_of_the_house_names_what_there_is():
    text = (ROOT / "docs/images/house.svg").read_text(encoding="utf-8")
    named = re.findall(r"(?:\w+/)?\w+\.py|\w+/(?=[:<])", text)
    assert len(named) > 10
    for name in named:
        assert (ROOT / "sklearn_vae" / name).exists(), name


def test_the_guides_own_parts_train():
    """A prior, a posterior and a likelihood as the guide writes them."""
    text = (ROOT / "docs/guide/training.md").read_text(encoding="utf-8")
    code = re.search(r"## Parts of your own.*?```py(?:thon)?\n(.*?)```", text, flags=re.S)[1]
    names, images = {"__name__": "guide"}, synthetic_images(60, 8, 8)
    exec(code, names)
    vae = names["vae"].set_params(network="mlp", max_epochs=100, device="cpu", random_state=0)
    vae.set_params(z_dim=2, prior__mean=4.0, lr=1e-2).fit(images)
    assert np.isfinite(vae.score_samples(images)).all()
    assert abs(vae.transform(images).mean() - 4) < 1
    assert abs(vae.module_.draw(2000, np.random.RandomState(0)).mean() - 4) < 0.1


@pytest.mark.parametrize(
    ("page", "figure"), [("guide/choose.md", r"\d+\.\d+"), ("index.md", r"\d+\.\d+(?= %)")]
)
def test_the_figures_of_a_page_stand_in_the_tables(page, figure):
    rows = re.compile(r"^\|.*$", flags=re.M)
    pages = (ROOT / "docs").glob("benchmarks/*.md")
    tables = "".join("".join(rows.findall(page.read_text(encoding="utf-8"))) for page in pages)
    prose = rows.sub("", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    figures = re.findall(figure, prose)
    assert figures
    assert set(figures) <= set(re.findall(r"\d+\.\d+", tables))


def test_the_front_page_says_how_to_install_and_its_code_imports_what_there_is():
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert "\n## Install\n" in text  # what a search for the word finds first
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    assert len(blocks) == 3
    for block in blocks:
        imports = [node for node in ast.parse(block).body if isinstance(node, ast.ImportFrom)]
        for found in (node for node in imports if node.module.startswith("sklearn_vae")):
            module = import_module(found.module)
            assert {alias.name for alias in found.names} <= set(module.__all__)


@pytest.mark.parametrize(
    ("page", "suffix", "expected"),
    [
        (
            "guide/choose",
            ".md",
            ["blob/main/docs/guide/choose.md", "edit/main/docs/guide/choose.md"],
        ),
        ("gallery/plot_fusion", ".rst", ["blob/main/examples/plot_fusion.py"]),
        ("generated/sklearn_vae.VAETransformer", ".rst", []),
    ],
)
def test_links_to_the_source_follow_the_address(page, suffix, expected):
    jinja2 = pytest.importorskip("jinja2")
    text = (ROOT / "docs/_templates/repository.html").read_text(encoding="utf-8")
    template = jinja2.Template(text)
    assert template.render(repository="", pagename=page, page_source_suffix=suffix) == ""
    address = "https://github.com/Someone/sklearn_vae"
    shown = template.render(repository=address, pagename=page, page_source_suffix=suffix)
    found = re.findall(r'href="([^"]+)"', shown)
    assert [link for link in found if "colab" not in link] == [f"{address}/{x}" for x in expected]
    colab = "https://colab.research.google.com/github/Someone/sklearn_vae/blob/notebooks"
    example = f"{colab}/plot_fusion.ipynb"
    assert [link for link in found if "colab" in link] == [example] * page.startswith("gallery")


def _documented():
    """Return the full names that docs/api.rst lists."""
    names, module = set(), ""
    for line in (ROOT / "docs/api.rst").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split()[-1]
        elif found := re.fullmatch(r"(?:   |\.\. py:data:: )(\w+)", line):
            names.add(f"{module}.{found[1]}")
    return names


@pytest.mark.parametrize(
    "part", ["", ".augmentation", ".datasets", ".inspection", ".model", ".nn", ".onnx"]
)
def test_api_reference_lists_every_public_name(part):
    module = import_module(f"sklearn_vae{part}")
    listed = {name for name in _documented() if name.rpartition(".")[0] == module.__name__}
    assert listed == {f"{module.__name__}.{name}" for name in module.__all__}
