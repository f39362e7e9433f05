# make demo    optimise the sample model and print what it gained
# make test    everything that must hold before a change goes in
# make test-all   that, and the exhaustive tests: before a release
#
# Both build .venv first, from pyproject.toml and constraints.txt; a second run starts at once.
# PYTHON=python3.12 chooses the interpreter, JOBS=4 the number of test processes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all lint fix types unit exhaustive golden docs bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "edgetok needs Python 3.11 or later; none was found (set PYTHON=...)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install -q -c constraints.txt --no-deps ethos-u-vela tosa-tools
	touch $@

build/digits/labels.tsv: samples/vit_digits/data.py | $(READY)
	$(BIN)/python samples/vit_digits/data.py build/digits

demo: $(READY) build/digits/labels.tsv  ## optimise the sample model, print the before/after table and where the report is
	$(BIN)/edgetok optimize -c samples/vit_digits/recipe.yaml -o build/demo --force

test: lint types unit  ## lint, types and tests: what CI runs

test-all: test exhaustive  ## the same, and the exhaustive tests: for before a release

lint: $(READY)  ## ruff, without changing files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fix: $(READY)  ## ruff, changing files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## mypy --strict
	$(BIN)/mypy
	$(BIN)/mypy docs/generate
	cd samples/vit_digits && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache data.py card.py train.py

unit: $(READY)  ## the tests alone
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q

exhaustive: $(READY)  ## the tests that make test leaves out, alone
	EDGETOK_ARCHITECTURES=all $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q -m exhaustive
	EDGETOK_ARCHITECTURES=all $(BIN)/python -m pytest -n $(JOBS) -q tests/edgetok/testing/test_coverage.py

golden: $(READY)  ## write the golden texts again; read the diff before you keep it
	EDGETOK_UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q -n $(JOBS) tests -k golden

docs: $(READY)  ## write the generated pages and figures again
	$(BIN)/python -m docs.generate

bench: $(READY)  ## measure token merging on this machine (it must be idle); minutes
	$(BIN)/python benchmarks/token_merging.py

clean:  ## remove everything that make made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
