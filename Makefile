# Every target is a line or two; the work is in `cleartake` and the scripts.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
EMULATOR := .venv-emulator
QUALITY := .venv-quality
SAGEMAKER := .venv-sagemaker
AUDIT := .venv-audit
CLIENTS := .venv-clients
NODE_CLIENTS := build/node-clients
CDK_HOME := build/cdk
CDK := $(CDK_HOME)/node_modules/.bin/cdk
MIXED := build/quality/mixed
UV := $(BIN)/uv
LOCK := $(UV) pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
STRENGTH ?= 90
STAGE ?= dev
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo up down status logs enhance test test-slow lint audit synth chaos bench-engine bench-quality bench-flow bench-fairness load fuzz-api generated-clients openapi costs sbom lock clean
.PHONY: synth-all preflight bootstrap diff deploy outputs smoke smoke-endpoint destroy adopt models-mirror

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.installed $(EMULATOR)/.installed ## make .venv, the emulator's environment and the models
	@$(BIN)/python -m scripts.models

$(VENV)/bin/uv: requirements/uv.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11, or name it: make setup PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.installed: requirements/dev.txt pyproject.toml client/pyproject.toml | $(VENV)/bin/uv
	$(UV) pip sync -q --require-hashes --python $(BIN)/python requirements/dev.txt
	$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation --editable . --editable ./client
	@touch $@

$(EMULATOR)/.installed: requirements/emulator.txt | $(VENV)/bin/uv
	$(UV) venv -q --clear --python $(BIN)/python $(EMULATOR)
	$(UV) pip sync -q --require-hashes --python $(EMULATOR)/bin/python requirements/emulator.txt
	@touch $@

$(QUALITY)/.installed: requirements/quality.txt | $(VENV)/bin/uv
	$(UV) venv -q --clear --python $(BIN)/python $(QUALITY)
	$(UV) pip sync -q --require-hashes --python $(QUALITY)/bin/python requirements/quality.txt
	@touch $@

$(SAGEMAKER)/.installed: requirements/sagemaker.txt | $(VENV)/bin/uv
	$(UV) venv -q --clear --python $(BIN)/python $(SAGEMAKER)
	$(UV) pip sync -q --require-hashes --python $(SAGEMAKER)/bin/python requirements/sagemaker.txt
	@touch $@

$(AUDIT)/.installed: requirements/audit.txt | $(VENV)/bin/uv
	$(UV) venv -q --clear --python $(BIN)/python $(AUDIT)
	$(UV) pip sync -q --require-hashes --python $(AUDIT)/bin/python requirements/audit.txt
	@touch $@

$(CLIENTS)/.installed: requirements/clients.txt | $(VENV)/bin/uv
	$(UV) venv -q --clear --python $(BIN)/python $(CLIENTS)
	$(UV) pip sync -q --require-hashes --python $(CLIENTS)/bin/python requirements/clients.txt
	@touch $@

$(NODE_CLIENTS)/.installed: requirements/node-clients/package.json requirements/node-clients/package-lock.json | $(VENV)/.installed
	@mkdir -p $(NODE_CLIENTS) && cp $^ $(NODE_CLIENTS)
	$(BIN)/npm ci --prefix $(NODE_CLIENTS) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(CDK_HOME)/.installed: requirements/node/package.json requirements/node/package-lock.json | $(VENV)/.installed
	@mkdir -p $(CDK_HOME) && cp $^ $(CDK_HOME)
	$(BIN)/npm ci --prefix $(CDK_HOME) --ignore-scripts --no-audit --no-fund --loglevel=error
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

test: setup $(CLIENTS)/.installed $(NODE_CLIENTS)/.installed ## every suite's fast part, end to end included
	$(BIN)/pytest -m "not slow" $(PYTEST_ARGS)

test-slow: setup $(SAGEMAKER)/.installed ## what takes long
	$(BIN)/pytest -m slow $(PYTEST_ARGS)

lint: setup ## ruff, mypy, import contracts, bandit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -ll -r client/src gpu_container infra lambdas scripts -c pyproject.toml

audit: setup $(AUDIT)/.installed ## known vulnerabilities of the locked packages; exit code 3: the service did not answer
	@$(BIN)/python -m scripts.audit --python $(AUDIT)/bin/python

# Into an AWS account: the one of your credentials. STAGE=dev|stage|prod; ARGS="-c gpuBackend=none -c image=local …"
synth: setup ## templates for AWS in cdk.out, held to cdk-nag and cfn-lint
	$(BIN)/python -m infra.app --stage $(STAGE) --out cdk.out $(ARGS)
	$(BIN)/cfn-lint cdk.out/*.template.json

synth-all: setup ## every stage with and without a GPU; what this machine's variant does otherwise
	@$(BIN)/python -m scripts.synth_all $(ARGS)

preflight: setup ## is the account ready for STAGE?
	@$(BIN)/cleartake preflight --stage $(STAGE) $(ARGS)

bootstrap: setup $(CDK_HOME)/.installed ## prepare account and region for the CDK, once
	$(CDK) bootstrap -c stage=$(STAGE) $(ARGS)

diff: setup $(CDK_HOME)/.installed ## what deploy would change
	$(CDK) diff --all -c stage=$(STAGE) $(ARGS)

deploy: setup $(CDK_HOME)/.installed ## deploy, or upgrade what is deployed
	$(CDK) deploy --all -c stage=$(STAGE) $(ARGS)
	@$(BIN)/cleartake outputs --stage $(STAGE)

outputs: setup ## where the deployed service is, and how to make a client
	@$(BIN)/cleartake outputs --stage $(STAGE)

chaos: setup ## break everything that can break under forty jobs, and count; ARGS="--lane cpu --seed 7"
	@$(BIN)/python -m scripts.chaos $(ARGS)

smoke: setup ## the main job once against what deploy made; ARGS=--local: against make up
	@$(BIN)/cleartake smoke --stage $(STAGE) $(ARGS)

smoke-endpoint: setup $(SAGEMAKER)/.installed ## the GPU's endpoint alone, with one order; ARGS=--local: against make up
	@$(SAGEMAKER)/bin/python -m scripts.endpoint smoke --stage $(STAGE) $(ARGS)

destroy: setup $(CDK_HOME)/.installed ## remove the service; prod keeps its data, other stages lose it
	@$(BIN)/cleartake empty --stage $(STAGE)
	$(CDK) destroy --all -c stage=$(STAGE) $(ARGS)
	@$(BIN)/cleartake remains --stage $(STAGE)

adopt: setup $(CDK_HOME)/.installed ## make the data stack again of what the last destroy of STAGE has kept
	@$(BIN)/cleartake remains --stage $(STAGE) --mapping build/adopt-$(STAGE).json
	$(CDK) import cleartake-$(STAGE)-data --resource-mapping build/adopt-$(STAGE).json -c stage=$(STAGE) $(ARGS)

models-mirror: setup ## copy the locked model files to TO=s3://bucket/folder/, or to where STAGE looks for them
	@$(BIN)/python -m scripts.models_mirror --stage $(STAGE) $(if $(TO),--to $(TO)) $(ARGS)

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

generated-clients: up $(CLIENTS)/.installed $(NODE_CLIENTS)/.installed ## clients that public generators make of /openapi.json compile and work
	$(BIN)/python -m scripts.generated_clients

openapi: setup ## renew docs/openapi.json from the route table
	$(BIN)/python -m scripts.openapi --write

.PHONY: connector connector-drive
connector: setup ## renew the Power Platform connector's files from the route table
	$(BIN)/python -m scripts.connector --write

connector-drive: setup ## call each operation of the connector as the platform would, on a cloud of its own; prints the calls
	$(BIN)/pytest -v tests/e2e/test_connector.py $(PYTEST_ARGS)

bench-fairness: setup ## what one client's long queue costs another, on a cloud of its own
	$(BIN)/python -m scripts.bench_fairness $(ARGS)

load: setup ## calls a second, jobs a minute beside the engine alone, growth; ARGS="--only calls"
	$(BIN)/python -m scripts.bench_load $(ARGS)

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
	$(LOCK) --override requirements/sagemaker-without.in requirements/sagemaker.in -o requirements/sagemaker.txt
	$(LOCK) requirements/audit.in -o requirements/audit.txt
	$(LOCK) requirements/clients.in -o requirements/clients.txt
	$(BIN)/npm install --prefix requirements/node --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts
	$(BIN)/npm install --prefix requirements/node-clients --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts
	$(LOCK) --override requirements/quality-without.in requirements/quality.in -o requirements/quality.txt

.PHONY: bench-fan-out
bench-fan-out: up ## a long file through the cpu fan-out of this machine, against the single stream; ARGS="--minutes 10"
	$(BIN)/python -m scripts.bench_fan_out $(ARGS)

clean: ## remove what can be made again; .cleartake stays
	rm -rf $(VENV) $(EMULATOR) $(QUALITY) $(SAGEMAKER) $(AUDIT) $(CLIENTS) cdk.out cdk.out.all build *.egg-info client/src/*.egg-info .mypy_cache .ruff_cache .pytest_cache
