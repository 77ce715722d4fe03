# Two commands do everything on a bare machine with Python >= 3.11 and make:
#   make demo [DATA=digits|mnist|fashion_mnist|cifar10|...]   the main job, with a table and a picture
#   make test                                                 lint, types, tests and doctests
# And, with the gallery's examples run anew, in minutes:
#   make docs [INTERSPHINX=1]                                 these pages as HTML, in docs/_build/html
#   make fuzz [FUZZ=20]                                       the tests with so many times the random cases: mutated files,
#                                                             interrupts, inputs that nobody thought of
#   make lowest                                               the tests on the oldest versions that pyproject.toml
#                                                             allows (Python 3.10 or 3.11)
PYTHON ?= python3
PY := .venv/bin/python
DATA ?= digits
FUZZ ?= 20

.PHONY: demo test fuzz docs lint types lowest clean

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

fuzz: .venv/.installed
	SKLEARN_VAE_FUZZ=$(FUZZ) $(PY) -m pytest -n 2

docs: .venv/.installed-docs
	INTERSPHINX=$(INTERSPHINX) $(PY) -m sphinx -b html -W --keep-going docs docs/_build/html

lint: .venv/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: .venv/.installed
	$(PY) -m mypy

# Everything else is of soon after the newest of these floors (move the date with them); SciPy 1.16
# already warns of what scikit-learn 1.6 does.
lowest:
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python \
		--resolution lowest-direct --exclude-newer 2025-10-01 --editable ".[test]" "scipy==1.15.*"
	.venv-lowest/bin/python -m pytest -n 2

clean:
	rm -rf .venv .venv-lowest .pytest_cache .mypy_cache .ruff_cache demo docs/_build docs/gallery docs/generated
