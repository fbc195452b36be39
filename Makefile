# Each target stands alone: it makes the virtual environment it needs and installs into it.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# EXTRAS= leaves torch out, for an interpreter that has no build of it; its tests are then skipped and
# its examples shown without output
EXTRAS ?= ,transformer
SOURCES = pyproject.toml constraints.txt setup.py $(shell find sklearn_xmr -name '*.pyx' -o -name '*.pxd' -o -name '*.h')

.PHONY: demo test test-min dist lint format bench doc clean

demo: $(VENV)/.installed
	$(VENV)/bin/python examples/quick_start_api_docs.py

test: $(VENV)/.installed-test
	$(VENV)/bin/pytest

# The oldest versions that pyproject.toml allows, in an environment of their own. scikit-learn 1.6 is older than
# pytest 9, whose warning about its checks is left out.
VENV_MIN ?= .venv-min
MINIMUM = numpy==2.0.* scipy==1.15.* scikit-learn==1.6.* joblib==1.4.*
test-min:
	test -d $(VENV_MIN) || $(PYTHON) -m venv $(VENV_MIN)
	$(VENV_MIN)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test]" $(MINIMUM)
	$(VENV_MIN)/bin/pytest -W ignore::pytest.PytestRemovedIn10Warning

# Source distribution and wheel in dist/, and the tests of the source distribution run on the wheel, in an environment
# and a folder where nothing of the source tree is found.
dist: $(VENV)/bin/python
	rm -rf dist
	$(PIP) build
	$(VENV)/bin/python -m build
	.ci/test-wheel dist "$(PYTHON)"

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PATH="$(abspath $(VENV))/bin:$$PATH" cython-lint sklearn_xmr
	$(VENV)/bin/codespell

format: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# DATA: folder with X_train.npz X_test.npz Y_train.npz Y_test.npz; synthetic data if not given
DATA ?= build/benchmarks/synthetic
bench: $(VENV)/.installed-bench
	test -d $(DATA) || $(VENV)/bin/python -m benchmarks.versus.synthetic $(DATA)
	$(VENV)/bin/python -m benchmarks.versus $(DATA) $(ARGS)

doc: $(VENV)/.installed-doc
	$(VENV)/bin/python -m sphinx -b html -W --keep-going doc doc/_build/html
	@echo "Open doc/_build/html/index.html"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python $(SOURCES)
	$(PIP) -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/bin/python $(SOURCES)
	$(PIP) -e ".[test$(EXTRAS)]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: $(VENV)/bin/python $(SOURCES)
	$(PIP) -e ".[dev$(EXTRAS)]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV)/.installed-bench: $(VENV)/bin/python $(SOURCES)
	$(PIP) -e ".[bench]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-doc: $(VENV)/bin/python $(SOURCES)
	$(PIP) -e ".[doc$(EXTRAS)]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf build dist *.egg-info $(VENV) $(VENV_MIN)
	rm -rf doc/_build doc/auto_examples doc/api/generated doc/sg_execution_times.rst
	find sklearn_xmr -name '*.so' -delete
