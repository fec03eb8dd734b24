# Every target is a line or two; the work is in `cleartake` and the scripts.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
EMULATOR := .venv-emulator
QUALITY := .venv-quality
MIXED := build/quality/mixed
UV := $(BIN)/uv
LOCK := $(UV) pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
STRENGTH ?= 90
STAGE ?= dev
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo up down status logs enhance test test-slow lint audit synth preflight deploy smoke destroy bench-engine bench-quality bench-flow fuzz-api openapi costs sbom lock clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.installed $(EMULATOR)/.installed ## make .venv, the emulator's environment and the models
	@$(BIN)/python -m scripts.models

$(VENV)/bin/uv: requirements/uv.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11, or name it: make setup PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.installed: requirements/dev.txt pyproject.toml | $(VENV)/bin/uv
	$(UV) pip sync -q --require-hashes --python $(BIN)/python requirements/dev.txt
	$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(EMULATOR)/.installed: requirements/emulator.txt | $(VENV)/bin/uv
	$(UV) venv -q --clear --python $(BIN)/python $(EMULATOR)
	$(UV) pip sync -q --require-hashes --python $(EMULATOR)/bin/python requirements/emulator.txt
	@touch $@

$(QUALITY)/.installed: requirements/quality.txt | $(VENV)/bin/uv
	$(UV) venv -q --clear --python $(BIN)/python $(QUALITY)
	$(UV) pip sync -q --require-hashes --python $(QUALITY)/bin/python requirements/quality.txt
	@touch $@

demo: setup ## the main job: start everything, enhance the bundled recording, draw it before and after
	@$(BIN)/cleartake demo

up: setup ## start the whole product on this machine
	@$(BIN)/cleartake up

down: ## stop what up started; data stays
	@$(BIN)/cleartake down

status: ## what runs, and what it is doing
	@$(BIN)/cleartake status

logs: ## the last lines of every log
	@$(BIN)/cleartake logs

enhance: ## enhance FILE=talk.mp3 at STRENGTH=90 through the REST API
	@$(BIN)/cleartake enhance "$(FILE)" --strength $(STRENGTH)

test: setup ## every suite's fast part, end to end included
	$(BIN)/pytest -m "not slow" $(PYTEST_ARGS)

test-slow: setup ## what takes long
	$(BIN)/pytest -m slow $(PYTEST_ARGS)

lint: setup ## ruff, mypy, import contracts, bandit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -ll -r gpu_container infra lambdas scripts -c pyproject.toml

audit: setup ## known vulnerabilities of the locked packages; needs the advisory service
	$(UV) tool run pip-audit --require-hashes -r requirements/dev.txt

synth: setup ## templates for AWS in cdk.out, held to cdk-nag and cfn-lint
	$(BIN)/python -m infra.app --stage $(STAGE) --out cdk.out
	$(BIN)/cfn-lint cdk.out/*.template.json

preflight: setup ## is the AWS account of your credentials ready for STAGE?
	@$(BIN)/cleartake preflight --stage $(STAGE)

deploy: setup ## deploy to the AWS account of your credentials
	$(BIN)/npx --yes aws-cdk@2.1148.1 deploy --all -c stage=$(STAGE)

smoke: setup ## the main job once against what deploy made; ARGS=--local: against make up
	@$(BIN)/cleartake smoke --stage $(STAGE) $(ARGS)

destroy: setup ## remove it from that account; a prod stage keeps its data
	$(BIN)/npx --yes aws-cdk@2.1148.1 destroy --all -c stage=$(STAGE)

bench-engine: setup ## our engine beside the official runtimes
	$(BIN)/python -m scripts.bench_engine

$(MIXED)/meta.json: scripts/mix_speech.py | $(VENV)/.installed
	$(BIN)/python -m scripts.mix_speech --out $(MIXED)

bench-quality: setup $(QUALITY)/.installed $(if $(DATA),,$(MIXED)/meta.json) ## ours beside its peers on DATA=folder of pairs; ARGS="--limit 6"; needs cc
	$(QUALITY)/bin/python -m scripts.bench_quality --data "$(or $(DATA),$(MIXED))" $(ARGS)

bench-flow: up ## how long a client waits on this machine
	$(BIN)/python -m scripts.bench_flow

fuzz-api: up ## call everything with what the API's document allows and what it does not; ARGS="--examples 20"
	$(BIN)/python -m scripts.fuzz_api $(ARGS)

openapi: setup ## renew docs/openapi.json from the route table
	$(BIN)/python -m scripts.openapi --write

sbom: setup ## bills of materials of what ships, in build/sbom
	@$(BIN)/python -m scripts.sbom

costs: setup ## what an hour of sound costs on each lane, as in docs/costs.md
	@$(BIN)/python -m scripts.cost_model

lock: | $(VENV)/bin/uv ## renew the locks from pyproject.toml
	$(LOCK) --group container --group cpu --group infra --group local --group dev --group bench pyproject.toml -o requirements/dev.txt
	$(LOCK) pyproject.toml -o requirements/lambda.txt
	$(LOCK) requirements/uv.in -o requirements/uv.txt
	$(LOCK) requirements/container-cpu.in -o requirements/container-cpu.txt
	$(LOCK) requirements/container-gpu.in -o requirements/container-gpu.txt
	$(LOCK) requirements/emulator.in -o requirements/emulator.txt
	$(LOCK) --override requirements/quality-without.in requirements/quality.in -o requirements/quality.txt

clean: ## remove what can be made again; .cleartake stays
	rm -rf $(VENV) $(EMULATOR) $(QUALITY) cdk.out build *.egg-info .mypy_cache .ruff_cache .pytest_cache
