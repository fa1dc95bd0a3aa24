# Everything there is to run, as a newcomer runs it and as CI does. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/done
ARTIFACTS := artifacts
FUZZ_SECONDS ?= 60
SEED ?= 1
RUNS ?= 200
SESSIONS ?= 500
BENCH ?= sfu
# One seed for a whole run: what fuzzing found is not to pass at the second try because it tried something else.
ifndef ROOMKEEPER_FUZZ_SEED
export ROOMKEEPER_FUZZ_SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
endif
export npm_config_update_notifier := false
# Some images forbid it; each of the many processes of a test would then compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# The first Python that is new enough and can make a virtual environment; `make PYTHON=…` chooses another.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(USABLE)' 2>/dev/null && echo "$$p" && break; done)

PAGES := src/roomkeeper/control/pages/interview/index.html
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)
JS_PACKAGES := $(dir $(wildcard tests/conformance/js/*/package-lock.json examples/receivers/*/package-lock.json))
JS_MODULES := $(addsuffix node_modules/.package-lock.json,$(JS_PACKAGES))

.PHONY: help setup dev pages test test-livekit check coverage lint types contracts format generate fuzz page chaos bench wheel lock chromium clean

help: ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

setup: $(DONE)/python $(PAGES) ## Install everything into .venv, build the pages

dev: setup ## Start room server, interviewer and page on this machine
	@exec $(BIN)/roomkeeper dev $(ARGS)

test: setup chromium $(JS_MODULES) ## Run every test: python, web, conformance, browser, install
	npm --prefix web test
	$(BIN)/pytest -n 2 --cov=src/roomkeeper/lifecycle --cov-fail-under=100 tests/unit/lifecycle
	$(BIN)/pytest -n 2 --ignore=tests/unit/lifecycle tests/unit tests/architecture
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore=tests/unit --ignore=tests/architecture || { \
		echo "Once more, one by one: what passes now has a race that is to be found."; \
		$(BIN)/pytest --last-failed --last-failed-no-failures none; }

check: lint types contracts test ## Do exactly what CI does

coverage: setup ## Show what the unit tests do not reach; measuring it takes them twice as long
	$(BIN)/pytest -n 2 --cov tests/unit tests/architecture

lint: setup ## Look for mistakes and for unformatted code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	npm --prefix web run lint

types: setup ## Check the types of Python and TypeScript
	$(BIN)/mypy
	npm --prefix web run types

contracts: setup ## Check who imports whom
	$(BIN)/lint-imports --no-logo

format: setup ## Format, and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	npm --prefix web run format

generate: setup ## Write the reference pages and TypeScript from the tables of the core
	$(BIN)/python -m tools.generate

fuzz: setup ## Fuzz every boundary for FUZZ_SECONDS
	ROOMKEEPER_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/pytest --timeout=0 tests/fuzz

chaos: setup ## Kill and stop what there is, RUNS times from SEED on; SESSIONS at once on two replicas
	ROOMKEEPER_CHAOS_SEED=$(SEED) ROOMKEEPER_CHAOS_STEPS=$(RUNS) ROOMKEEPER_CHAOS_SESSIONS=$(SESSIONS) \
		PYTHONHASHSEED=0 $(BIN)/pytest -s tests/chaos/test_every_step.py tests/chaos/test_two_replicas.py
	$(BIN)/python -m tests.chaos.matrix --seed $(SEED) --runs $(RUNS)

test-livekit: setup chromium $(JS_MODULES) ## Run what can run against LIVEKIT_URL, with LIVEKIT_API_KEY and LIVEKIT_API_SECRET
	@test -n "$${LIVEKIT_URL:-}" || { echo "Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET." >&2; exit 1; }
	$(BIN)/pytest tests/conformance tests/control tests/lifecycle $(ARGS)
	$(BIN)/python -m tests.chaos.matrix --seed $(SEED) --runs 12 --together 6

page: setup chromium ## Lose the page's network for 5 to 60 s and for ever, put it to sleep, end 56 talks while it is cut off
	ROOMKEEPER_LONG=1 ROOMKEEPER_TEST_HOLD=120 ROOMKEEPER_OUTAGES=5,15,30,60 ROOMKEEPER_SLEEPS=8,30 \
		$(BIN)/pytest -s tests/browser/test_lost_networks.py tests/browser/test_lost_agents.py
	ROOMKEEPER_LONG=1 $(BIN)/pytest -s tests/browser/test_interview_page_ends.py
	ROOMKEEPER_LONG=1 ROOMKEEPER_END_RUNS=7 $(BIN)/pytest -s tests/browser/test_ends_while_cut_off.py \
		tests/browser/test_stories.py

bench: setup chromium ## Measure the room server, or BENCH=control, end, lifecycle, console; see bench/
	$(BIN)/python -m bench.$(BENCH) $(ARGS)

wheel: setup ## Build the wheel, pages inside
	$(BIN)/uv build --wheel --no-build-isolation --out-dir dist

lock: $(BIN)/uv ## Resolve the dependencies anew
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--all-extras --group dev pyproject.toml --output-file requirements.lock --quiet

clean: ## Remove what was built; the next command installs anew
	rm -rf $(VENV) dist $(ARTIFACTS) src/roomkeeper/control/pages .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache .coverage
	find web tests -name node_modules -type d -prune -exec rm -rf {} +

pages: $(PAGES) ## Build the web pages

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/# via/p' requirements.lock | $(BIN)/python -m pip install --quiet --require-hashes -r /dev/stdin

$(DONE)/python: requirements.lock pyproject.toml hatch_build.py | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode \
		-r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@mkdir -p $(@D) && touch $@

web/node_modules/.package-lock.json: web/package-lock.json
	npm --prefix web ci --no-audit --no-fund --loglevel=error
	@touch $@

$(PAGES): $(WEB_SOURCES) | web/node_modules/.package-lock.json
	npm --prefix web run build
	@touch $@

$(JS_MODULES): %/node_modules/.package-lock.json: %/package-lock.json
	npm --prefix $* ci --no-audit --no-fund --loglevel=error
	@touch $@

# The browser tests take CHROMIUM, else one on PATH, else Debian's, else Playwright's own.
chromium: $(DONE)/python
	@if [ -n "$${CHROMIUM:-}" ]; then exit 0; fi; \
	for name in chromium chromium-browser google-chrome-stable google-chrome; do \
		if command -v $$name >/dev/null; then exit 0; fi; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -qq --yes --no-install-recommends chromium; \
	else $(BIN)/playwright install --with-deps chromium; fi
