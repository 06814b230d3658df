# `make demo` and `make test` do all their own set-up; `make check` is what a change has to pass.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DYNO := $(BIN)/dyno

.PHONY: demo test check lint engine clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

engine: $(VENV)/.installed
	$(DYNO) env install --vllm cpu

demo: engine
	$(DYNO) model synthetic demo/model --shape demo
	$(DYNO) tune examples/demo.yaml
	$(BIN)/python tools/readme.py

test: engine
	$(BIN)/pytest

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

clean:
	rm -rf $(VENV) demo studies
