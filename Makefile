# Everything a user or developer needs: `make demo`, `make test`, `make lint`, `make benchmark`.
# PYTHON=python3.12 chooses another interpreter for the environment in .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Two workers: the suite is sized for two cores.
JOBS   ?= 2

.PHONY: setup demo test lint benchmark clean

setup: $(STAMP)
	@:

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("$(PYTHON) is Python %d.%d; accepted: 3.11, 3.12, 3.13; try: make PYTHON=python3.12 $(MAKECMDGOALS)" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing trine and its tools into $(VENV) (once; a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off \
	    --constraint constraints.txt --editable ".[api,bridge,dynamics,embeddings,multilingual,onnx,oracle,serve,dev]"
	@touch $(STAMP)
	@echo "Ready: $(BIN)/trine --help"

demo: setup
	$(BIN)/trine demo

test: setup
	$(BIN)/python -m pytest -n $(JOBS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

benchmark: setup
	$(BIN)/python benchmarks/run.py
	$(BIN)/python -m benchmarks.dynamics
	$(BIN)/python -m benchmarks.embeddings

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
