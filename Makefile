# Every target first builds .venv from requirements.lock if .venv is missing or the lock has changed.
#   make sweep ARGS="--trials 8"   passes more flags to sweeps/run.py
#   make test ARGS="-k priors"     passes more flags to pytest

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help sweep reproduce reproduce-baselines reproduce-ablation reproduce-labels reproduce-own
.PHONY: install test test-fast test-gpu test-large test-cluster soak docs docs-check system-deps lint
.PHONY: bench scaling report ui tracking clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
ARGS ?=
# Many tests wait, for example for killed trials to resume: six workers keep two cores busy.
WORKERS ?= 6
HOST ?= 127.0.0.1
PORT ?= 5000
OPTUNA_PORT ?= 8080
SWEEP ?=
ARTIFACTS ?= mlartifacts
ALLOWED_HOSTS ?=
BIN := .venv/bin

# This name depends on the lock's content, not on its date, so switching branches does not rebuild.
# The file is written last, so that an interrupted installation starts again.
ENVIRONMENT := .venv/lock-$(firstword $(shell cksum requirements.lock))
PROJECT := .venv/project

# Stops MLflow from sending usage data.
export MLFLOW_DISABLE_TELEMETRY ?= true

help: ## list all targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 28

install: $(PROJECT) ## install everything into .venv; all other targets do this first

sweep: $(PROJECT) ## tune dsprites_v4 and print the best configuration
	$(BIN)/python sweeps/run.py --variant dsprites_v4 $(ARGS)

reproduce: $(PROJECT) ## train the missing runs of our rows in the tables and of the controls
	$(BIN)/python sweeps/run.py --study models $(ARGS)
	$(BIN)/python sweeps/run.py --study controls $(ARGS)

reproduce-baselines: $(PROJECT) ## train the missing runs of the baselines
	$(BIN)/python sweeps/run.py --study baselines $(ARGS)

reproduce-ablation: $(PROJECT) ## train the missing ablation runs, each without one addition
	$(BIN)/python sweeps/run.py --study ablation $(ARGS)

reproduce-labels: $(PROJECT) ## train the missing runs with 30 to 3000 labels, drawn evenly and at random
	$(BIN)/python sweeps/run.py --study labels $(ARGS)

OWN := people digits shapes3d_v3_tenth shapes3d_v3_files dsprites_v4_files
examples/people.yaml: EXAMPLE := people
examples/people.yaml: FLAGS := --transformations shift --transformations zoom
examples/digits.yaml: EXAMPLE := digits
examples/digits.yaml: FLAGS := --group source --transformations shift --transformations zoom \
	--transformations noise
examples/shapes3d_v3_tenth.yaml: EXAMPLE := shapes3d_v3 --labelled 5000
examples/shapes3d_v3_files.yaml: EXAMPLE := shapes3d_v3
examples/dsprites_v4_files.yaml: EXAMPLE := dsprites_v4
$(OWN:%=examples/%.yaml): examples/%.yaml: | $(PROJECT)
	rm -rf examples/$*
	$(BIN)/python -m weakdis_core data example $(EXAMPLE) --output examples/$*
	$(BIN)/python -m weakdis_core data add $* --images examples/$* $(FLAGS) --output $@

reproduce-own: $(PROJECT) $(OWN:%=examples/%.yaml) ## train the missing runs on pictures that come as files
	$(BIN)/python sweeps/run.py --study own $(ARGS)

test: $(PROJECT) ## run all tests except those that need a GPU, a cluster or much disk
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(PROJECT) ## run the tests that take seconds, before every commit
	$(BIN)/python -m pytest -n logical --dist loadfile -m "not slow and not cluster and not gpu and not large" $(ARGS)

test-gpu: $(PROJECT) ## run the tests that need a GPU
	$(BIN)/python -m pytest -m gpu $(ARGS)

test-large: $(PROJECT) ## prepare 100,000 pictures and measure the memory
	$(BIN)/python -m pytest -m large $(ARGS)

test-cluster: $(PROJECT) ## test a real cluster on two machines made of namespaces (root only)
	$(BIN)/python -m pytest -m cluster $(ARGS)

soak: $(PROJECT) ## kill parts of a sweep for half an hour, then check its results
	$(BIN)/python -m tests.sweeps.soak $(ARGS)

docs: $(PROJECT) ## build the documentation in docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build

docs-check: docs ## build the documentation; run the commands and notebooks in it
	$(BIN)/python -m tests.docs_check $(ARGS)

system-deps: ## install the Debian packages that some tests need (root only)
	apt-get update
	apt-get install --yes --no-install-recommends \
		postgresql openssh-server openssh-client rsync iproute2 util-linux chromium

lint: $(PROJECT) ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

bench: $(PROJECT) ## measure speed against the targets
	$(BIN)/python -m benchmarks.run

scaling: $(PROJECT) ## measure how a sweep's overhead grows with its trials (hours)
	$(BIN)/python -m benchmarks.scaling

report: $(PROJECT) ## write report.html, the page of the newest sweep
	$(BIN)/python -m analysis report $(ARGS)

ui: $(PROJECT) ## serve MLflow's UI and Optuna's dashboard: PORT=, OPTUNA_PORT=, SWEEP=
	@$(BIN)/python -m sweeps.cli.ui --port "$(PORT)" --optuna-port "$(OPTUNA_PORT)" --sweep "$(SWEEP)"

# The environment, unlike an argument, hides a password in this address from process lists.
tracking: export MLFLOW_BACKEND_STORE_URI ?= sqlite:///mlflow-server.db
tracking: $(PROJECT) ## start an MLflow server for several machines: HOST=, PORT=, ALLOWED_HOSTS=
	@echo "MLflow: http://$(HOST):$(PORT) (Ctrl-C ends it)"
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow server --workers 1 \
		--artifacts-destination $(ARTIFACTS) --host $(HOST) --port $(PORT) \
		$(if $(ALLOWED_HOSTS),--allowed-hosts "$(ALLOWED_HOSTS)")

clean: ## remove .venv and caches; keep runs, mlflow.db and prepared data
	rm -rf .venv weakdis.egg-info docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find weakdis_core sweeps analysis benchmarks tests -name __pycache__ -prune -exec rm -rf {} +

$(ENVIRONMENT):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	touch $@

# The build uses the setuptools that the lock pins, instead of downloading an unpinned version.
$(PROJECT): $(ENVIRONMENT) pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
		--no-deps --no-build-isolation --editable .
	touch $@
