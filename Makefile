# Two commands do everything on a bare machine with Python >= 3.10 and make:
#   make demo [DATA=digits|mnist|fashion_mnist|cifar10|...]   the main job, with a table and a picture
#   make test                                                 lint, types, tests and doctests
# And, with the gallery's examples run anew, in minutes:
#   make docs [INTERSPHINX=1]                                 these pages as HTML, in docs/_build/html
PYTHON ?= python3
PY := .venv/bin/python
DATA ?= digits

.PHONY: demo test docs lint types clean

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable ".[test,plot]"
	touch $@

.venv/.installed-docs: .venv/.installed
	$(PY) -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

demo: .venv/.installed
	$(PY) benchmarks/demo.py --data $(DATA)

test: lint types
	$(PY) -m pytest -n 2

docs: .venv/.installed-docs
	INTERSPHINX=$(INTERSPHINX) $(PY) -m sphinx -b html -W --keep-going docs docs/_build/html

lint: .venv/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: .venv/.installed
	$(PY) -m mypy

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache demo docs/_build docs/gallery docs/generated
