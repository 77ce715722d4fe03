# Two commands do everything on a bare machine with Python >= 3.10 and make:
#   make demo [DATA=digits|mnist|fashion_mnist|cifar10|...]   the main job, with a table and a picture
#   make test                                                 lint, types, tests and doctests
PYTHON ?= python3
PY := .venv/bin/python
DATA ?= digits

.PHONY: demo test lint types clean

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable ".[test,plot]"
	touch $@

demo: .venv/.installed
	$(PY) benchmarks/demo.py --data $(DATA)

test: lint types
	$(PY) -m pytest -n 2

lint: .venv/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: .venv/.installed
	$(PY) -m mypy

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache demo
