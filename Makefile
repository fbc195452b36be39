# Each target stands alone: it makes the virtual environment it needs and installs into it.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# EXTRAS= leaves torch out, for an interpreter that has no build of it; its tests are then skipped
EXTRAS ?= ,transformer
SOURCES = pyproject.toml constraints.txt setup.py $(shell find sklearn_xmr -name '*.pyx' -o -name '*.pxd' -o -name '*.h')

.PHONY: demo test lint format bench clean

demo: $(VENV)/.installed
	$(VENV)/bin/python examples/quick_start_api_docs.py

test: $(VENV)/.installed-test
	$(VENV)/bin/pytest

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

clean:
	rm -rf build dist *.egg-info $(VENV)
	find sklearn_xmr -name '*.so' -delete
