# Two commands do all the set-up: `make up` starts the platform with a demo workspace, `make test` runs all tests.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?=
# Test processes; "auto" is one per CPU. 0, the default, runs the tests in this one: faults are timed on a calmer machine.
WORKERS ?= 0
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# Where PYTHONDONTWRITEBYTECODE is set, as container images like to, every start would compile everything anew.
export UV_COMPILE_BYTECODE := 1

.PHONY: help install dev up test check format bench docs lock clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(UV):
	@scripts/venv $(VENV) $(PYTHON)

$(VENV)/.installed: requirements.lock pyproject.toml | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@$(BIN)/python -m compileall -q src
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.installed
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/.installed ## Install Greffier into .venv (command: .venv/bin/greffier)

dev: $(VENV)/.dev ## Install what tests and checks need, real test peers included
	@scripts/peers
	@$(BIN)/greffier models pull >/dev/null

up: install ## Start the platform with a demo workspace and a local model
	@$(BIN)/greffier up $(ARGS)

# With WORKERS=auto a worker per CPU (at most four), whole files to each, so that what a file sets up is set up once, and in the order of
# the folders: the long files come before the many short ones, and no worker is left waiting for the other at the end.
test: dev ## Run all tests
	$(BIN)/pytest -q -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev ## Lint, format, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Measure the governed path; writes bench/RESULTS.md
	$(BIN)/python bench/run.py

docs: $(VENV)/.dev ## Generate docs/reference from the code
	$(BIN)/python docs/generate.py

lock: $(UV) ## Resolve the dependencies anew and write both lock files
	$(UV) pip compile --quiet --universal pyproject.toml --extra local --extra documents --generate-hashes --no-header --output-file requirements.lock
	$(UV) pip compile --quiet --universal pyproject.toml --all-extras --group dev --generate-hashes --no-header --output-file requirements-dev.lock

clean: ## Remove everything that was installed or built, the demo workspace included
	rm -rf $(VENV) .venvs demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
