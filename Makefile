# Two commands do everything on a machine that has Python 3.11 and make: `make up` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODES ?= 6
CLUSTER := data/shoal/cluster.json
CLUSTER_TESTS := tests/ctl tests/integration

.PHONY: help up down test quick soak check format bench clean

help:
	@echo "make up      install what is missing, start a six-node cluster on this machine, say how to connect"
	@echo "make down    stop that cluster and remove its data"
	@echo "make test    install what is missing and run the tests (make soak: the long ones too; SHOAL_SOAK_S=3600"
	@echo "             makes the mixed workload between Shoal and redis-server last an hour each way)"
	@echo "make quick   the same tests, those that start clusters beside all others"
	@echo "make check   ruff, mypy --strict and the layer rules"
	@echo "make bench   one node beside redis-server: rates, CPU a command, memory a key (needs redis-server)"
	@echo "make clean   remove the virtual environment and caches"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Shoal needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python's venv module is missing (on Debian: apt-get install python3-venv)"; exit 1; }

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Shoal into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-for-tests: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Shoal and what its tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $(VENV)/installed $@

# A cluster that is there already is started again, with what it holds.
up: $(VENV)/installed
	@if [ -e $(CLUSTER) ]; then $(BIN)/ctl cluster start; \
	else $(BIN)/ctl cluster create --nodes $(NODES) --yes; fi
	@echo "Here too:       make down; and '. $(BIN)/activate' puts ctl on the path"

down: $(VENV)/installed
	@if [ -e $(CLUSTER) ]; then $(BIN)/ctl cluster destroy --yes; \
	else echo "There is no cluster to remove"; fi

test: $(VENV)/installed-for-tests
	@$(BIN)/python -m pytest -m "not slow"

quick: $(VENV)/installed-for-tests
	@told=$$(mktemp); trap 'kill $$beside 2>/dev/null; rm -f $$told' EXIT; \
	SHOAL_TEST_LANE=1 $(BIN)/python -m pytest -m "not slow" -p no:cacheprovider $(CLUSTER_TESTS) >$$told 2>&1 & beside=$$!; \
	SHOAL_TEST_LANE=0 $(BIN)/python -m pytest -m "not slow" $(addprefix --ignore=,$(CLUSTER_TESTS)); here=$$?; \
	wait $$beside; there=$$?; cat $$told; exit $$((here || there))

soak: $(VENV)/installed-for-tests
	@$(BIN)/python -m pytest

check: $(VENV)/installed-for-tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/installed-for-tests
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: $(VENV)/installed-for-tests
	@$(BIN)/python tests/bench/bench.py

clean:
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
