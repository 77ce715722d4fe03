# Two commands do everything on a bare machine with Python >= 3.11 and make:
#   make demo [DATA=digits|mnist|fashion_mnist|cifar10|...]   the main job, with a table and a picture
#   make test                                                 lint, types, tests and doctests
# `make lint`, `make types` and `make pytest` are the parts of `make test`. In minutes, too:
#   make coverage                                             the tests, and how much of the package they run
#   make docs [INTERSPHINX=1]                                 these pages as HTML, in docs/_build/html, with
#                                                             the gallery's examples run anew
#   make fuzz [FUZZ=20]                                       the tests with so many times the random cases: mutated files,
#                                                             interrupts, inputs that nobody thought of
#   make lowest                                               the tests on the oldest versions that pyproject.toml
#                                                             allows (Python 3.10 or 3.11)
#   make nightly                                              the tests on pre-releases of what the package rests on, and
#                                                             on builds of the night from PIP_EXTRA_INDEX_URL
#   make dist [TAG=v1.2.3]                                    what a release publishes, in dist; of that version
DATA ?= digits
FUZZ ?= 20
JOBS ?= 2
# Each process begins with neighbouring tests, so that a module's fixtures are made once; who is done takes from others.
SHARED := -n $(JOBS) --dist worksteal
# Many tests start processes: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := Scripts
else
PYTHON ?= python3
BIN := bin
endif
PY := .venv/$(BIN)/python

.PHONY: demo test pytest coverage fuzz docs lint limits sizes layers types lowest nightly dist clean

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable ".[test,lint,plot]"
	touch $@

.venv/.installed-docs: .venv/.installed
	$(PY) -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

demo: .venv/.installed
	$(PY) benchmarks/demo.py --data $(DATA)

test: lint types pytest

# Each process has a core: more threads of NumPy's and scikit-learn's libraries would wait for each other.
pytest coverage fuzz: export OMP_NUM_THREADS := 1
pytest coverage fuzz: export OPENBLAS_NUM_THREADS := 1

pytest: .venv/.installed
	$(PY) -m pytest $(SHARED)

coverage: .venv/.installed
	$(PY) -m pytest $(SHARED) --cov --cov-report=term

fuzz: .venv/.installed
	SKLEARN_VAE_FUZZ=$(FUZZ) $(PY) -m pytest $(SHARED)

docs: .venv/.installed-docs
	$(PY) tools/sentences.py
	.venv/$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs/*.md docs/*/*.md sklearn_vae examples benchmarks/*.py tools
	INTERSPHINX=$(INTERSPHINX) $(PY) -m sphinx -b html -W --keep-going docs docs/_build/html

lint: .venv/.installed limits
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/$(BIN)/zizmor --offline --quiet .github

# What the house keeps to; `make -k limits` goes on where one of the two fails.
limits: sizes layers

sizes: .venv/.installed
	$(PY) tools/limits.py

layers: .venv/.installed
	.venv/$(BIN)/lint-imports --no-cache

types: .venv/.installed
	$(PY) -m mypy
	$(PY) tools/guide_types.py

# Everything else is of soon after the newest of these floors (move the date with them); SciPy 1.16
# already warns of what scikit-learn 1.6 does.
lowest:
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/$(BIN)/python -m pip install --quiet uv
	.venv-lowest/$(BIN)/uv pip install --quiet --python .venv-lowest/$(BIN)/python \
		--resolution lowest-direct --exclude-newer 2025-10-01 --editable ".[test]" "scipy==1.15.*"
	.venv-lowest/$(BIN)/python -m pytest $(SHARED)

nightly:
	$(PYTHON) -m venv --clear .venv-nightly
	.venv-nightly/$(BIN)/python -m pip install --quiet --upgrade pip
	.venv-nightly/$(BIN)/python -m pip install --quiet --pre --editable ".[test]"
	.venv-nightly/$(BIN)/python -m pytest $(SHARED)

dist: .venv/.installed
	rm -rf dist
	$(PY) -m pip install --quiet --constraint constraints.txt build
	$(PY) -m build --outdir dist
	test -z "$(TAG)" -o -f "dist/sklearn_vae-$(TAG:v%=%)-py3-none-any.whl"

clean:
	rm -rf .venv .venv-lowest .venv-nightly .pytest_cache .mypy_cache .ruff_cache .coverage* dist demo \
		docs/_build docs/gallery docs/generated
