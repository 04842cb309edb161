# What a person does here, by name. Needs python3 (3.11 or newer), make and pip; everything else goes into
# virtual environments in this folder. `make help` lists the targets.

PYTHON ?= python3
PYTEST_ARGS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder
SOAK_ARGS ?= --numprocesses 2 --dist load
PROTO_OUT ?= proto

BIN := .venv/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
METADATA := setup.cfg pyproject.toml client/exprd/__about__.py
# The two that take a minute come first, so that they run side by side.
CHECKS := check-types check-format check-lint check-layers check-proto check-container
# The tests start several hundred processes, each of which would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check check-format check-lint check-types check-mypy check-pyright check-layers check-proto check-container \
	format docs proto proto-baseline proto-check test-protobuf6 soak soak-ci fuzz statistics coverage bench bench-service bench-store \
	reliability container container-check clean distclean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

demo: .venv/demo.stamp ## install the client, the server and the demo's libraries, and run the main job
	$(BIN)/python examples/demo.py

test: check ## run the checks, then every test that CI runs; pytest's closing line comes last
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: .venv/dev.stamp ## format, lint, types, layers, protos, Dockerfile
	@$(MAKE) --no-print-directory --jobs=2 $(SYNC) $(CHECKS)

check-format: .venv/dev.stamp
	$(BIN)/ruff format --check .

check-lint: .venv/dev.stamp
	$(BIN)/ruff check .

check-types: check-pyright check-mypy

check-mypy: .venv/dev.stamp
	$(BIN)/mypy

check-pyright: .venv/dev.stamp
	$(BIN)/pyright --warnings

check-layers: .venv/dev.stamp
	$(BIN)/lint-imports --config setup.cfg

check-proto: .venv/dev.stamp
	$(BIN)/buf lint

check-container: .venv/dev.stamp
	$(BIN)/hadolint Dockerfile

format: .venv/dev.stamp ## format the code and sort the imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --select I --fix .

docs: .venv/dev.stamp ## write the pages anew that are tables in the code
	$(BIN)/python -m tools.reference_pages

proto: .proto-venv/stamp ## write the protobuf stubs anew, beside their protos (or under PROTO_OUT)
	PATH="$(CURDIR)/.proto-venv/bin:$$PATH" .proto-venv/bin/python -m grpc_tools.protoc -I proto \
		--python_out=$(PROTO_OUT) --pyi_out=$(PROTO_OUT) \
		--grpc_python_out=$(PROTO_OUT) --mypy_grpc_out=$(PROTO_OUT) proto/exprd_proto/*.proto

proto-check: .proto-venv/stamp ## fail when the checked-in stubs are not what the protos say
	rm -rf build/proto && mkdir -p build/proto
	$(MAKE) --no-print-directory proto PROTO_OUT=build/proto
	@for new in build/proto/exprd_proto/*; do \
		diff -u "proto/exprd_proto/$${new##*/}" "$$new" || { echo "stale stubs: run make proto" >&2; exit 1; }; \
	done

proto-baseline: .venv/dev.stamp ## fix the protocol as it is now: from here on it may only grow
	$(BIN)/buf build -o proto/baseline.binpb

test-protobuf6: .venv-pb6/stamp ## run the wire and server tests under protobuf 6
	.venv-pb6/bin/python -c 'import google.protobuf as p; assert p.__version__.startswith("6.33."), p.__version__'
	.venv-pb6/bin/python -m pytest tests/proto tests/server $(PYTEST_ARGS)

# EXPRD_SOAK scales the random programs, EXPRD_SOAK_SEED draws others; see CONTRIBUTING.md.
soak: .venv/dev.stamp ## hours: 10,000 random programs at every level, math functions on every float32 there is
	$(BIN)/python -m tools.accuracy --exhaustive
	$(BIN)/python -m pytest -m soak $(SOAK_ARGS)

soak-ci: .venv/dev.stamp ## the soak in minutes: a part of the programs, a part of the floats
	$(BIN)/python -m tools.accuracy --exhaustive --stride 499
	EXPRD_SOAK=$${EXPRD_SOAK:-0.05} $(BIN)/python -m pytest -m soak $(SOAK_ARGS)

fuzz: .venv-fuzz/stamp ## let atheris look for inputs that break a reader, for EXPRD_FUZZ_SECONDS (600)
	.venv-fuzz/bin/python -m tests.fuzz

statistics: .venv/dev.stamp ## count ops, tests and random programs anew, for docs/coverage.md
	$(BIN)/python -m tools.statistics

coverage: .venv/dev.stamp ## run the tests and show what they do not reach
	$(BIN)/coverage run --rcfile=setup.cfg -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine --rcfile=setup.cfg --quiet
	$(BIN)/coverage report --rcfile=setup.cfg

bench: .venv/dev.stamp ## measure, and write build/bench.json
	$(BIN)/python -m benchmarks.run --json build/bench.json

bench-service: .venv/dev.stamp ## measure calls to a server next to a bare gRPC echo (benchmarks/results/service.json)
	$(BIN)/python -m benchmarks.service --json benchmarks/results/service.json
	@$(BIN)/python -m tools.bars
	$(BIN)/python -m tools.reliability

bench-store: .venv/dev.stamp ## measure the durable store and updates of parts of tables next to bare SQLite (benchmarks/results)
	$(BIN)/python -m benchmarks.store --json benchmarks/results/store.json
	$(BIN)/python -m benchmarks.sparse --json benchmarks/results/sparse.json
	$(BIN)/python -m tools.reliability

# What notes a figure, short or long; EXPRD_SOAK scales the long ones.
reliability: .venv/dev.stamp ## inject faults, count, and write the table of docs/reliability.md anew
	mkdir -p build && rm -f build/figures.jsonl
	EXPRD_FIGURES=build/figures.jsonl $(BIN)/python -m pytest -m figure $(SOAK_ARGS)
	$(BIN)/python -m tools.reliability --merge build/figures.jsonl

container: ## build the server's image (needs buildah)
	container/build.sh

container-check: container ## build the image, run it guarded, train from outside, kill it, find everything again
	container/check.sh

clean: ## remove what was built or cached
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*

distclean: clean ## and the virtual environments
	rm -rf .venv .venv-pb6 .venv-fuzz .proto-venv

# Editable, because one environment then serves the demo, the tests and the person who changes a line between
# two runs. The wheel has its own test: tests/house/test_install.py installs it into an empty environment.
.venv/demo.stamp: $(METADATA)
	PYTHON=$(PYTHON) tools/make-venv .venv
	$(BIN)/python $(PIP_INSTALL) --editable '.[server,demo]'
	@touch $@

.venv/dev.stamp: $(METADATA)
	PYTHON=$(PYTHON) tools/make-venv .venv
	$(BIN)/python $(PIP_INSTALL) --editable '.[server,dev]'
	@touch $@ .venv/demo.stamp

.venv-pb6/stamp: $(METADATA)
	PYTHON=$(PYTHON) tools/make-venv .venv-pb6
	.venv-pb6/bin/python $(PIP_INSTALL) --editable '.[server]' 'protobuf==6.33.*' grpcio-status hypothesis pytest pytest-timeout pytest-xdist trustme
	@touch $@

.venv-fuzz/stamp: $(METADATA)
	PYTHON=$(PYTHON) tools/make-venv .venv-fuzz
	.venv-fuzz/bin/python $(PIP_INSTALL) --editable '.[server,fuzz]'
	@touch $@

.proto-venv/stamp: proto/requirements.txt
	PYTHON=$(PYTHON) tools/make-venv .proto-venv
	.proto-venv/bin/python $(PIP_INSTALL) -r proto/requirements.txt
	@touch $@
