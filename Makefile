# Every target first builds .venv from requirements.lock where it is missing or the lock changed.
#   make sweep ARGS="--trials 8"   more flags for sweeps/run.py
#   make test ARGS="-k priors"     more flags for pytest

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help sweep reproduce reproduce-baselines reproduce-ablation reproduce-labels
.PHONY: install test test-fast test-gpu test-cluster soak docs-check system-deps lint bench scaling report ui tracking
.PHONY: clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
ARGS ?=
# Some tests mostly wait, for what was killed to be taken up again: two workers keep two cores busy.
WORKERS ?= 2
HOST ?= 127.0.0.1
PORT ?= 5000
OPTUNA_PORT ?= 8080
SWEEP ?=
ARTIFACTS ?= mlartifacts
ALLOWED_HOSTS ?=
BIN := .venv/bin

# Named after the lock's content, not its date: switching branches does not rebuild. It is written
# last, so that an interrupted installation is started afresh.
ENVIRONMENT := .venv/lock-$(firstword $(shell cksum requirements.lock))
PROJECT := .venv/project

# MLflow would report its use over the network.
export MLFLOW_DISABLE_TELEMETRY ?= true

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 28

install: $(PROJECT) ## install everything into .venv, as every other target does first

sweep: $(PROJECT) ## tune dsprites_v4 and print the best configuration
	$(BIN)/python sweeps/run.py --variant dsprites_v4 $(ARGS)

reproduce: $(PROJECT) ## train what our rows of the tables and the controls still lack
	$(BIN)/python sweeps/run.py --study models $(ARGS)
	$(BIN)/python sweeps/run.py --study controls $(ARGS)

reproduce-baselines: $(PROJECT) ## the same for the previous work's model
	$(BIN)/python sweeps/run.py --study baselines $(ARGS)

reproduce-ablation: $(PROJECT) ## the same for each addition taken out alone
	$(BIN)/python sweeps/run.py --study ablation $(ARGS)

reproduce-labels: $(PROJECT) ## the same for 30 to 3000 labels
	$(BIN)/python sweeps/run.py --study labels $(ARGS)

test: $(PROJECT) ## run all tests but those that need a GPU or a cluster
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(PROJECT) ## run the tests that take seconds: for every commit
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not cluster and not gpu" $(ARGS)

test-gpu: $(PROJECT) ## the tests that need a GPU
	$(BIN)/python -m pytest -m gpu $(ARGS)

test-cluster: $(PROJECT) ## bring up a real cluster on two machines made of namespaces (root only)
	$(BIN)/python -m pytest -m cluster $(ARGS)

soak: $(PROJECT) ## kill parts of a sweep for half an hour, then check what must hold
	$(BIN)/python -m tests.sweeps.soak $(ARGS)

docs-check: $(PROJECT) ## run every command of docs/tutorial.md and docs/extending.md
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

scaling: $(PROJECT) ## measure how a sweep's own cost grows with its trials (hours)
	$(BIN)/python -m benchmarks.scaling

report: $(PROJECT) ## write report.html, the page of the newest sweep
	$(BIN)/python -m analysis report $(ARGS)

ui: $(PROJECT) ## MLflow's UI and Optuna's dashboard on this machine: PORT=, OPTUNA_PORT=, SWEEP=
	@$(BIN)/python -m sweeps.cli.ui --port "$(PORT)" --optuna-port "$(OPTUNA_PORT)" --sweep "$(SWEEP)"

# In the environment, where no list of processes shows the password it may hold.
tracking: export MLFLOW_BACKEND_STORE_URI ?= sqlite:///mlflow-server.db
tracking: $(PROJECT) ## start an MLflow server for other machines too: HOST=, PORT=, ALLOWED_HOSTS=
	@echo "MLflow: http://$(HOST):$(PORT) (Ctrl-C ends it)"
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow server --workers 1 \
		--artifacts-destination $(ARTIFACTS) --host $(HOST) --port $(PORT) \
		$(if $(ALLOWED_HOSTS),--allowed-hosts "$(ALLOWED_HOSTS)")

clean: ## remove .venv and caches; runs, mlflow.db and prepared data stay
	rm -rf .venv weakdis.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find weakdis_core sweeps analysis benchmarks tests -name __pycache__ -prune -exec rm -rf {} +

$(ENVIRONMENT):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	touch $@

# setuptools is pinned in the lock: no second, unpinned one is fetched to build with.
$(PROJECT): $(ENVIRONMENT) pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
		--no-deps --no-build-isolation --editable .
	touch $@
