"""Sphinx configuration. ``make docs`` builds; INTERSPHINX=1 links to other projects' pages.

EXAMPLES=none runs neither the gallery's examples nor the guide's code.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sphinx.application import Sphinx
from sphinx_gallery.sorting import FunctionSortKey

import sklearn_vae
from sklearn_vae.utils._doc_link import project_url

project = "sklearn_vae"
copyright = f"2026, the {project} developers"
version = release = sklearn_vae.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py", "sg_execution_times.rst"]
templates_path = ["_templates"]

# There are functions among the values below, which Sphinx cannot keep between builds.
suppress_warnings = ["config.cache"]

# -- references --------------------------------------------------------------------------------

nitpicky = True
# Objects of these two are linked to with INTERSPHINX=1 only, whose inventories need the network.
nitpick_ignore_regex = [
    (r"py:.*", r"(sklearn|imblearn)\..*"),
    (r"py:obj", r"\w+_"),  # a fitted attribute that is a property: its line is all there is
]
if os.environ.get("INTERSPHINX", "0") not in ("", "0"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "sklearn": ("https://scikit-learn.org/stable", None),
        "imblearn": ("https://imbalanced-learn.org/stable", None),
    }

# -- Markdown ----------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
myst_disable_syntax = ["myst_line_comment"]  # lines of prose may begin with a per cent sign


def site_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links that work in the repository into those of the built pages."""
    source[0] = re.sub(r"\.\./examples/(plot_\w+)\.py\)", r"gallery/\1.rst)", source[0])
    source[0] = source[0].replace(" ± ", "\u00a0±\u00a0")  # a figure stays in one line


# -- the guide's code --------------------------------------------------------------------------

EXAMPLES = os.environ.get("EXAMPLES", r"/plot_")
if "EXAMPLES" in os.environ:  # without the others, which the front page has pictures of
    suppress_warnings.append("image.not_readable")
package = sorted(Path(sklearn_vae.__file__).parent.rglob("*.py"))
state = hashlib.sha256(b"".join(path.read_bytes() for path in package)).hexdigest()[:12]

nb_execution_mode = "off" if EXAMPLES == "none" else "cache"
# A page runs again when its code changes, or the package.
nb_execution_cache_path = str(Path(__file__).with_name("_build") / "executed" / state)
nb_execution_in_temp = True  # its files go nowhere else
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_output_stderr = "warn"  # a warning is an error of the build
nb_merge_streams = True
os.environ["MATPLOTLIBRC"] = str(Path(__file__).with_name("matplotlibrc"))

NOTEBOOK = """---
file_format: mystnb
kernelspec:
  name: python3
language_info:
  name: python
  pygments_lexer: ipython3
---

{page}

{{nb-download}}`Download this page as a notebook <{name}.ipynb>`. It runs from top to bottom.
"""

PICTURE = r"""```{code-cell}
---
mystnb:
  image:
    alt: "\1"
---"""


def executed(app: Sphinx, docname: str, source: list[str]) -> None:
    """Have a page of the guide run: its blocks of ``python``, but not those of ``py``.

    In the repository they are ordinary Markdown, which readers, formatters and type checkers know.
    A comment before a block says what its picture shows, for those who do not see it.
    """
    if docname.startswith("guide/") and "\n```python\n" in source[0]:
        text = re.sub(r"^<!-- picture: (.+) -->\n```python$", PICTURE, source[0], flags=re.M)
        cells = re.sub(r"^```python$", "```{code-cell}", text, flags=re.M)
        source[0] = NOTEBOOK.format(page=cells, name=Path(docname).name)


def setup(app: Sphinx) -> None:
    """Register what this file defines."""
    app.connect("source-read", site_links)
    app.connect("source-read", executed)


# -- API reference -----------------------------------------------------------------------------

autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings say the types, and more
numpydoc_show_class_members = False  # the class template lists them
numpydoc_attributes_as_param_list = True
numpydoc_validation_checks = {
    "all",  # but for:
    "ES01",  # an extended summary is for what needs one
    "EX01",  # classes have examples, methods need none of their own
    "GL01",  # summaries start on the line of the quotes, as ruff's numpy convention allows
    "PR04",  # "images, y : see the class" has no types
    "PR08",  # skorch, uint8 and float stay in lower case
    "RT02",  # returned values have names, as scikit-learn's do
    "RT04",
    "SA01",
    "SA04",
}
# Parts that others are made of, torch modules among them: a line for each method.
numpydoc_validation_exclude = {rf"{project}\.(augmentation|model|nn|synthesis)\."}


def own_methods(name: str) -> list[str]:
    """Return the public methods of a class that are documented in this package."""
    module, _, attribute = name.rpartition(".")
    cls = getattr(import_module(module), attribute)

    routines = inspect.getmembers(cls, inspect.isroutine)
    own = [
        n
        for n, m in routines
        if (getattr(inspect.unwrap(m), "__module__", "") or "").startswith(project)
    ]
    return [method for method in own if not method.startswith("_")]


autosummary_context = {"own_methods": own_methods}

# -- gallery -----------------------------------------------------------------------------------

pages = Path(__file__).with_name("guide")
contents = (pages / "index.md").read_text(encoding="utf-8").partition("{toctree}")[2]
order = re.findall(r"^\w+$", contents, flags=re.M)
guide = "".join((pages / f"{page}.md").read_text(encoding="utf-8") for page in order)
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": EXAMPLES,
    "within_subsection_order": FunctionSortKey(guide.find),  # as the guide's pages name them
    "doc_module": (project,),
    "backreferences_dir": "generated/backreferences",
    "image_srcset": ["2x"],
    "capture_repr": ("_repr_html_",),
    "min_reported_time": 1000,  # seconds: no timings on the pages
    "download_all_examples": False,
}

# -- HTML --------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_vae"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {
        "text": "sklearn_vae",
        "image_light": "_static/logo-light.svg",
        "image_dark": "_static/logo-dark.svg",
    },
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "show_prev_next": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
flat = ("index", "benchmarks", "robustness", "comparison", "development", "changelog")
html_sidebars = {page: [] for page in flat}  # nothing below them to list

# Code alone is copied: no prompts, and nothing that was printed.
copybutton_selector = "div:not(.sphx-glr-script-out):not(.output) > div.highlight > pre"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# -- the repository: nothing of this while it has no address --------------------------------------

repository = project_url("Repository")
html_context = {"repository": repository}
html_theme_options["article_header_end"] = ["repository"]


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Return the address of an object's source; None for what is defined elsewhere."""
    found = import_module(info["module"])
    for name in info["fullname"].split("."):
        found = getattr(found, name, None)
    found = inspect.unwrap(getattr(found, "fget", None) or found)
    try:
        lines, start = inspect.getsourcelines(found)
        path = Path(inspect.getfile(found)).relative_to(Path(sklearn_vae.__file__).parents[1])
    except (TypeError, OSError, ValueError):
        return None
    last = start + len(lines) - 1
    return f"{repository}/blob/main/{path.as_posix()}#L{start}-L{last}"


if repository:
    extensions.append("sphinx.ext.linkcode")
    html_theme_options["github_url"] = repository
    # Notebooks, which run in Colab, have to bring the package along.
    install = f"%pip install -q 'sklearn-vae[plot] @ git+{repository}'"
    sphinx_gallery_conf["first_notebook_cell"] = install
# One version is published so far, and there is nothing to choose from: a second entry shows it.
versions = json.loads(Path(__file__).with_name("_static").joinpath("switcher.json").read_text())
if len(versions) > 1:
    switcher = f"{project_url('Documentation')}/_static/switcher.json"
    html_theme_options["switcher"] = {"json_url": switcher, "version_match": version}
    html_theme_options["check_switcher"] = False  # no network is needed to build
    html_theme_options["navbar_start"] = ["navbar-logo", "version-switcher"]
