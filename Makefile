# Everything below needs only Python >= 3.11, make and a package index.
PYTHON ?= python3
VENV := .venv
# A container often has none, and the PostgreSQL wheel of the demo asks for it.
export XDG_RUNTIME_DIR ?= /tmp
BIN := $(VENV)/bin
EDITABLE := -e ./tap-voucherify -e ./target-voucherify -e ./sandbox
INSTALL_PLUGINS := $(BIN)/python -m pip install -q --no-deps --no-build-isolation $(EDITABLE)

.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: requirements/demo.txt */pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --require-hashes -r requirements/demo.txt
	$(INSTALL_PLUGINS)
	@touch $@

$(VENV)/dev.done: requirements/dev.txt */pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --require-hashes -r requirements/dev.txt
	$(INSTALL_PLUGINS)
	@touch $@ $(VENV)/demo.done

install: $(VENV)/dev.done ## set up .venv with everything the project needs

lint: $(VENV)/dev.done ## style, imports, declared dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	cd tap-voucherify && ../$(BIN)/deptry .
	cd target-voucherify && ../$(BIN)/deptry .
	cd sandbox && ../$(BIN)/deptry .

type: $(VENV)/dev.done ## mypy, strict
	$(BIN)/mypy tap-voucherify/tap_voucherify target-voucherify/target_voucherify sandbox/voucherify_sandbox

test: $(VENV)/dev.done ## the whole test suite
	$(BIN)/python -m pytest -n 2

check: lint type test ## what CI runs

lock: $(VENV)/dev.done ## pin requirements/*.txt again, with hashes and without addresses
	for name in demo dev; do $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" requirements/$$name.in -o requirements/$$name.txt; done

.PHONY: help install lint type test check lock
