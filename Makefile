# Every target sets up what it needs by itself; a second call finds it done. Needs Python 3.11 or later and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
DVC_READY := .venv-dvc/.ready
BENCH_READY := .venv-bench/.ready
BENCH_DRIFT_READY := .venv-bench-drift/.ready
BENCH_SERVING_READY := .venv-bench-serving/.ready
BENCH_MLSERVER_READY := .venv-bench-mlserver/.ready
CLIENTS_READY := .venv-clients/.ready
CLIENTS_HOSTED_READY := .venv-clients-hosted/.ready

# Every command is many processes, each of which would compile the package, or the tests, anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-live test dev bench lint clean setup slow clients

demo: setup
	$(BIN)/ml-assets demo $(ARGS)

demo-live: setup
	$(BIN)/ml-assets demo-live --data data/live $(ARGS)

test: setup
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist worksteal $(ARGS)

slow: setup clients
	$(BIN)/python -m pytest -m slow --numprocesses auto --dist loadfile --no-loadscope-reorder --durations=15 $(ARGS)

dev: setup
	$(BIN)/ml-assets dev $(ARGS)

bench: setup $(BENCH_READY) $(BENCH_DRIFT_READY) $(BENCH_SERVING_READY) $(BENCH_MLSERVER_READY)
	$(BIN)/python -m benchmarks $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Removes everything the commands made, the data of the embedded default included.
clean:
	rm -rf .venv .venv-dvc .venv-bench .venv-bench-* .venv-clients .venv-clients-hosted .pytest_cache .mypy_cache .ruff_cache .hypothesis
	git clean -fdXq data
	find benchmarks ml_assets ml_assets_tests scripts -name __pycache__ -prune -exec rm -rf {} +

setup: $(READY) $(DVC_READY)

clients: $(CLIENTS_READY) $(CLIENTS_HOSTED_READY)

# A new environment whenever what is pinned changes; a killed installation leaves no .ready and starts over.
$(READY): requirements.lock pyproject.toml
	@echo "setting up .venv (once, about two minutes)"
	@rm -f $@
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python {sys.version.split()[0]} at {sys.executable}; needed: 3.11 or later; install it or call make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# DVC can't share an environment with Dagster (dagster#27487: two versions of antlr4-python3-runtime).
$(DVC_READY): requirements-dvc.lock
	@echo "setting up .venv-dvc (once)"
	@rm -f $@
	@$(PYTHON) -m venv --clear .venv-dvc
	@.venv-dvc/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements-dvc.lock
	@touch $@

# Libraries that are only measured against.
$(BENCH_READY): benchmarks/requirements.lock
	@echo "setting up .venv-bench (once)"
	@rm -f $@
	@$(PYTHON) -m venv --clear .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --require-hashes --no-deps -r benchmarks/requirements.lock
	@touch $@

# Those of drift; why they need an environment of their own is in requirements-drift.in.
$(BENCH_DRIFT_READY): benchmarks/requirements-drift.lock
	@echo "setting up .venv-bench-drift (once)"
	@rm -f $@
	@$(PYTHON) -m venv --clear .venv-bench-drift
	@.venv-bench-drift/bin/python -m pip install --quiet --require-hashes --no-deps -r benchmarks/requirements-drift.lock
	@touch $@

# Servers that ours is measured against; why there are two environments is in requirements-serving.in.
$(BENCH_SERVING_READY) $(BENCH_MLSERVER_READY): .venv-bench-%/.ready: benchmarks/requirements-%.lock
	@echo "setting up $(@D) (once)"
	@rm -f $@
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --require-hashes --no-deps -r $<
	@touch $@

# Clients that the server is tested with; each speaks to it from a process of its own. Most of what is installed is
# never imported: it isn't compiled.
$(CLIENTS_READY): ml_assets_tests/clients/requirements.lock
$(CLIENTS_HOSTED_READY): ml_assets_tests/clients/requirements-hosted.lock
$(CLIENTS_READY) $(CLIENTS_HOSTED_READY):
	@echo "setting up $(@D) (once)"
	@rm -f $@
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --no-compile --require-hashes --no-deps -r $<
	@touch $@
