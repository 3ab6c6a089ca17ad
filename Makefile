# The two commands: `make demo` and `make test`. Both need python3 (3.11 or newer, with venv) and make, nothing else.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test fuzz lint format rules lock clean

demo: $(STAMP)
	@$(BIN)/python examples/digits/demo.py

test: $(STAMP) lint
	$(BIN)/python -m pytest

# A million hostile bundles, then hostile models: some five minutes on two cores. `make test` runs a slice.
fuzz: $(STAMP)
	$(BIN)/python sdk/fuzz/bundles.py
	$(BIN)/python sdk/fuzz/models.py --alone

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# requirements.lock holds every version that the tests ran with, by hash; `make lock` (needs uv) renews it.
$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "edgekit needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing edgekit and what it needs into $(VENV) (about 700 MB: TensorFlow is most of it)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

rules: $(STAMP)
	$(BIN)/python sdk/tests/rules_page.py

lock:
	uv pip compile pyproject.toml --extra convert --group dev --universal --python-version 3.11 \
	  --no-header --generate-hashes --upgrade --output-file requirements.lock

clean:
	rm -rf $(VENV) .venv-official build dist .mypy_cache .ruff_cache .pytest_cache
