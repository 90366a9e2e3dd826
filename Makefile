# Craft. `make` alone shows what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test test-sqlite test-postgres lint check fix format types imports openapi lock bench chaos fuzz web worker scheduler migrate shell clean setup setup-dev

PORT ?= 8000
export PORT
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
# What is installed is known by the content of the lists that it came from, not by the dates of files.
READY := $(VENV)/.ready-$(shell cksum < requirements.txt | cut -d ' ' -f 1)
READY_DEV := $(VENV)/.ready-dev-$(shell cat requirements.txt requirements-dev.txt | cksum | cut -d ' ' -f 1)
# More than cores: one of them mostly waits for the processes that tests/durability starts.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

ifeq ($(shell $(BIN)/python -c '' 2>/dev/null && echo works),)
$(shell rm -rf $(VENV)) # its Python is gone, or it was only half made
endif

help: ## Show this
	@printf '\n\033[1mCraft\033[0m  agents and workflows, self-hosted\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[36mmake %-14s\033[0m %s\n", $$1, $$2} /^# --- / {gsub(/# --- | ---/, ""); printf "\n\033[1m%s\033[0m\n", $$0}' $(firstword $(MAKEFILE_LIST))
	@printf '\n  PORT=8765 make run serves elsewhere; docs/configuration.md names every setting.\n\n'

# --- Run ---

run: $(READY) ## Serve everything in one process, and show what it does on the first start
	@exec $(BIN)/python manage.py up --demo --port $(PORT)

web: $(READY) ## Serve the web alone (needs DATABASE_URL and REDIS_URL)
	@exec $(BIN)/python manage.py up --port $(PORT)

worker: $(READY) ## Run a worker (needs DATABASE_URL and REDIS_URL)
	@exec $(BIN)/celery -A craft worker --queues short,long,documents --loglevel WARNING

scheduler: $(READY) ## Run the scheduler (needs DATABASE_URL and REDIS_URL); two of them do no harm
	@exec $(BIN)/celery -A craft beat --loglevel WARNING

migrate: $(READY) ## Bring the database up to date
	@$(BIN)/python manage.py migrate

shell: $(READY) ## A Python shell with the models at hand
	@$(BIN)/python manage.py shell

# --- Develop ---

test: export CRAFT_TEST_SPLIT = 1# what needs to be asked once is asked in one of the two runs
test: test-sqlite test-postgres ## Run all tests: on SQLite, then on PostgreSQL and Redis of their own

test-sqlite: $(READY_DEV) ## Run the tests on SQLite alone, all of them
	@printf '\n\033[1mTests on SQLite\033[0m\n'
	@env -u DATABASE_URL -u REDIS_URL $(PYTEST) $(ARGS)

test-postgres: $(READY_DEV) ## Run the tests on a private PostgreSQL and Redis alone, all of them
	@printf '\n\033[1mTests on PostgreSQL and Redis\033[0m\n'
	@$(BIN)/python -m tests.servers $(PYTEST) $(ARGS)

check: lint test ## All that must be green before a commit: lint, then test

lint: $(READY_DEV) ## Check format, lint, types, imports, settings, migrations and the OpenAPI documents
	@printf '\033[1mFormat and lint\033[0m\n'
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@printf '\033[1mTypes\033[0m\n'
	@$(BIN)/mypy craft accounts billing integrations datasources agents workflows compliance deployments
	@printf '\033[1mImports\033[0m\n'
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@printf '\033[1mSettings, migrations, OpenAPI\033[0m\n'
	@$(BIN)/python manage.py check
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py openapi --check
	@$(BIN)/python manage.py document_nodes --check

fix: $(READY_DEV) ## Format, and mend what lint can mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

openapi: $(READY) ## Write the OpenAPI documents and the page of node types anew
	@$(BIN)/python manage.py openapi
	@$(BIN)/python manage.py document_nodes

chaos: $(READY_DEV) ## Break everything for a quarter of an hour: 10,000 executions, 50 kills, Redis and PostgreSQL taken away; nothing may be lost or doubled (ARGS=--seed=N, --sqlite)
	@env -u DATABASE_URL -u REDIS_URL $(BIN)/python -m tests.durability.chaos $(ARGS)

fuzz: $(READY_DEV) ## Ask the expressions 50,000 things that nobody would write: none may take long, need much, or reach anything (ARGS=--seed=N)
	@$(BIN)/python -m tests.fuzz_expressions $(ARGS)

bench: $(READY_DEV) ## Measure: executions and requests per second, latencies, memory, on SQLite and on PostgreSQL; and whether sign-in tells who exists
	@env -u DATABASE_URL $(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.servers $(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.alike

lock: ## Resolve requirements*.in into pinned, hashed requirements*.txt (needs uv)
	@for name in requirements requirements-dev; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header $$name.in -o $$name.txt || exit 1; \
	done

clean: ## Remove the virtual environment and caches; var/ with its data stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis staticfiles

# --- Set-up (the other targets do this by themselves) ---

setup: $(READY) ## Make the virtual environment with what Craft runs on
setup-dev: $(READY_DEV) ## The same, with what tests and linters need

$(VENV)/bin/python:
	@python=""; \
	for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		found=$$(python3 --version 2>/dev/null || python --version 2>/dev/null || echo 'no Python at all'); \
		printf '\nCraft needs Python 3.11 or newer, and found %s.\n' "$$found" >&2; \
		printf 'Install one (Debian: apt install python3 python3-venv; macOS: brew install python), or name it: make %s PYTHON=/path/to/python3\n\n' "$(or $(MAKECMDGOALS),run)" >&2; \
		exit 1; \
	fi; \
	printf 'Making a virtual environment with %s …\n' "$$($$python --version)"; \
	if command -v uv >/dev/null 2>&1; then uv venv --quiet --python "$$python" $(VENV); \
	elif ! $$python -m venv $(VENV); then \
		rm -rf $(VENV); printf '\nThis Python can not make virtual environments. Debian: apt install python3-venv\n\n' >&2; exit 1; \
	fi

INSTALL = if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes --no-deps $(1); \
	else $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes --no-deps $(1); fi

$(READY): | $(VENV)/bin/python
	@printf 'Installing what Craft runs on (a minute or two, this once) …\n'
	@$(call INSTALL,-r requirements.txt)
	@rm -f $(VENV)/.ready-[0-9]* && touch $@

$(READY_DEV): | $(READY)
	@printf 'Installing what the tests and linters need (once) …\n'
	@$(call INSTALL,-r requirements.txt -r requirements-dev.txt)
	@rm -f $(VENV)/.ready-dev-* && touch $@
