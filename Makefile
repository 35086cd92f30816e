# Everything a person or CI does here. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PACKAGES := automate automate_api automate_connectors automate_core automate_modal automate_studio config
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --quiet --no-deps

.DEFAULT_GOAL := help
.PHONY: help run test check format bench openapi fuzz docs lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: $(VENV)/.run-installed ## Start everything on 127.0.0.1:7878 (PORT=...); Ctrl-C stops it
	@exec $(BIN)/python -m config.supervisor

test: $(VENV)/.dev-installed ## Run the whole test suite (ARGS="tests/automate -k name" narrows it, JOBS=1 in one process)
	@exec $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev-installed ## Check format, lint, types, imports, migrations and settings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py spectacular --validate --fail-on-warn | diff -u docs/reference/openapi.yaml - || \
	  { echo "The API is not what docs/reference/openapi.yaml says; if that is meant: make openapi"; exit 1; }

format: $(VENV)/.dev-installed ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev-installed ## Measure, beside raw SQL on the same server (ARGS="--help")
	@exec $(BIN)/python -m benchmarks $(ARGS)

openapi: $(VENV)/.dev-installed ## Write docs/reference/openapi.yaml from the code
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/reference/openapi.yaml

fuzz: $(VENV)/.dev-installed ## Send the API generated requests for a long time (AUTOMATE_FUZZ_SECONDS=600)
	@AUTOMATE_FUZZ_SECONDS=$${AUTOMATE_FUZZ_SECONDS:-600} $(BIN)/python -m pytest --timeout=0 tests/contract/test_fuzz.py $(ARGS)

docs: $(VENV)/.dev-installed ## Build the documentation into site/
	$(BIN)/mkdocs build --strict

lock: ## Pin what pyproject.toml asks for anew (needs uv)
	uv pip compile --quiet --universal --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 --upgrade --extra embedded --extra celery --extra redis requirements/build.in pyproject.toml \
	  --output-file requirements/run.lock
	uv pip compile --quiet --universal --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 --upgrade --extra dev --constraint requirements/run.lock \
	  requirements/build.in pyproject.toml --output-file requirements/dev.lock

clean: ## Remove the virtual environment and caches (the data in .data/ stay)
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $$($(PYTHON) --version 2>&1) was found. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python's venv module is incomplete. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.run-installed: pyproject.toml requirements/run.lock | $(BIN)/python
	@echo "Installing (first time only, about a minute)..."
	@$(PIP) --requirement requirements/run.lock
	@$(PIP) --no-build-isolation --editable .
	@$(BIN)/python -m compileall -qq $(PACKAGES) || true
	@touch $@

$(VENV)/.dev-installed: pyproject.toml requirements/dev.lock | $(BIN)/python
	@echo "Installing what development needs (first time only, about two minutes)..."
	@$(PIP) --requirement requirements/dev.lock
	@$(PIP) --no-build-isolation --editable .
	@$(BIN)/python -m compileall -qq $(PACKAGES) || true
	@touch $@ $(VENV)/.run-installed
