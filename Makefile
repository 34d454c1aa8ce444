# parley's commands. `make` alone lists them.
# Every recipe runs with .venv/bin first on PATH, so `python` in dvc.yaml is the one with the locked packages.
# `python -m dvc`, since the script `dvc` names the folder in which .venv was made, and that may have moved.

LOCK ?= $(if $(shell command -v nvidia-smi),gpu,cpu)
READY := .venv/ready-$(LOCK)
MAKEFLAGS += --no-print-directory

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup repro eval exp test check lint recipe lock clean samples export-data export-llamafactory forget judge-clean data-report
.PHONY: judge-plan judge-cache judge-check label
.PHONY: pseudonyms export-detector
.PHONY: memory preview doctor export push
.PHONY: chat chat-web test-model
.PHONY: compare sweep timing bench

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-19s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with the locked packages; every other command does it when needed

$(READY): requirements/$(LOCK).txt
	@sh tools/setup.sh "$(PYTHON)" "$<" "$@"

# The summary says which stages ran since the command began.
TIMED = python -m tools.preflight $(if $(filter exp,$@),$(ARGS)) && began=$$(date -u +%Y-%m-%dT%H:%M:%SZ) &&
SUMMARY = python -m tools.summary "$$began"

repro: $(READY) ## Run what changed of the whole pipeline and print the path of the report
	@$(TIMED) python -m dvc repro && $(SUMMARY)

eval: $(READY) ## Bring scores and report up to date; MODEL=folder-or-Hub-id scores another model on the same cases
	@$(if $(MODEL),python -m tools.evaluate "$(MODEL)",$(MAKE) repro)

exp: $(READY) ## Run an experiment: make exp ARGS='-S train.lr=1e-5'; compare with `make exp-show`
	@$(TIMED) python -m dvc exp run $(ARGS) && $(SUMMARY)

# Of some hundred columns: the settings that differ, and the tuned model's scores.
SHOWN := Experiment|rev|typ|Created|parent|State|Executor|(recipe\.)?(test|metrics)\.\w+\.(all\.)?tuned\.value
SECTIONS := seed|model|base|ingest|convert|redact|transforms|validate|encode|train|merge|generate|score|judge|report
exp-show: $(READY) ## Table of all experiments: the settings that differ and the scores
	@python -m dvc exp show --only-changed --drop '^(?!($(SHOWN)|(params.yaml:)?($(SECTIONS))\b.*)$$).*' $(ARGS)

compare: $(READY) ## Experiments side by side, metrics/compare.html: make compare [REVS='one other'] [BY=metric] [JUDGE=1]; docs/compare.md
	@python -m tools.compare $(if $(BY),--by "$(BY)") $(if $(JUDGE),--judge) $(REVS)

sweep: $(READY) ## Queue a grid and run it: make sweep ARGS='-S train.lr=1e-3,5e-3 -S train.epochs=2,4'; then make compare
	@python -m tools.preflight $(ARGS)
	@python -m dvc exp run --queue $(ARGS)
	@python -m dvc exp run --run-all

timing: $(READY) ## Seconds and memory of each stage with the settings of now
	@python -m tools.timing

bench: $(READY) ## Run the benchmarks, about an hour in all, into bench/results: make bench [NAMES='encode overlap']
	@python -m bench $(NAMES)

test: $(READY) ## Run the tests in two processes, the quick ones first; ARGS='-k name' picks some, '-n 0 --pdb' stops in one
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY) ## Check format, style and types
	@ruff format --check .
	@ruff check .
	@python -m mypy

check: lint test ## Everything that must hold before a commit: format, style, types, tests

recipe: $(READY) ## Lay a recipe into params.yaml: make recipe NAME=generic [BASE=embedded|hub] [FORCE=1], or FROM=my.yaml
	@python -m tools.recipe "$(NAME)" $(if $(FROM),--from "$(FROM)") $(if $(BASE),--base "$(BASE)") $(if $(FORCE),--force)

data-report: $(READY) ## What the walk made of your data, before anything is trained: metrics/data_report.html
	@python -m tools.preflight
	@python -m dvc repro validate && python -m dvc repro encode  # given both, DVC would begin with the base
	@python -m tools.data_report

judge-plan: $(READY) ## What judging would take now: calls, tokens, cost; PRICES=file.yaml for prices of your own
	@python -m tools.judge_plan $(PRICES)

judge-cache: $(READY) ## What is kept of judges' answers; OLDER=days or MODEL=name prunes, with YES=1
	@python -m tools.judge_cache $(if $(MODEL),--model "$(MODEL)") $(if $(OLDER),--older "$(OLDER)") $(if $(YES),--yes)

judge-check: $(READY) ## Is the judge any good? Planted answers (N=50 cases), and your own scores, against its
	@python -m tools.judge_check $(N)

label: $(READY) ## Score answers yourself, blind, in data/labels.jsonl; stop and go on as you like
	@python -m tools.label

judge-clean: $(READY) ## A judge scores each conversation for data/quality.jsonl; validate.min_quality then drops the worst
	@python -m dvc repro --quiet convert
	@python -m tools.judge_clean

export-data: $(READY) ## Write the splits for other programs: make export-data FORMAT=sharegpt|openai|alpaca OUT=folder
	@python -m tools.export_data "$(FORMAT)" "$(OUT)"

export-llamafactory: $(READY) ## Data and settings for LLaMA-Factory: make export-llamafactory NAME=mine OUT=folder [FROM=file] [TEMPLATE=name]
	@python -m tools.export_llamafactory "$(NAME)" "$(OUT)" "$(FROM)" "$(TEMPLATE)"

export-detector: $(READY) ## The turn detector with thresholds and ONNX, fp32 and int8: make export-detector OUT=models/detector
	@python -m tools.export_detector "$(OUT)"

forget: $(READY) ## Remove a person from raw copy, outputs and caches: make forget AUTHOR=id, then again with YES=1
	@python -m tools.forget "$(AUTHOR)" $(if $(YES),--yes)

pseudonyms: $(READY) ## Write who is who behind the pseudonyms to data/pseudonyms.json, for you alone
	@python -m tools.pseudonyms

preview: $(READY) ## The first examples, trained tokens in colour, and metrics/preview.html: make preview [ARGS='--count 10']
	@python -m tools.preflight
	@python -m dvc repro base validate
	@python -m tools.preview $(ARGS)

memory: $(READY) ## Whether training fits this device, and what does: make memory [MODEL=folder-or-name] [ARGS='--gb 24']
	@python -m tools.memory $(if $(MODEL),"$(MODEL)") $(ARGS)

# Without $(READY): it is for finding out what is missing, the packages too.
DOCTOR = $(if $(wildcard .venv/bin/python),python,$(or $(PYTHON),python3)) -m tools.doctor
doctor: ## What is missing here, or will be, and what to do: make doctor [NETWORK=1] [BUNDLE=1, a file for a bug report]
	@$(DOCTOR) $(if $(NETWORK),--network) $(if $(BUNDLE),--bundle)

export: $(READY) ## The trained model as a folder to hand on: make export DEST=folder MODEL_NAME=name
	@python -m tools.export "$(DEST)" "$(MODEL_NAME)"

push: $(READY) ## Upload a model and its card, privately: make push REPO=you/name [FOLDER=models/merged] [PUBLIC=1]
	@python -m tools.push "$(REPO)" $(if $(FOLDER),--folder "$(FOLDER)") $(if $(PUBLIC),--public)

chat: $(READY) ## Talk with the model in the terminal: make chat [ARGS='--model-path folder --temperature 0']
	@python -m tools.chat $(ARGS)

chat-web: $(READY) ## Talk with the model on a page of this machine: make chat-web [ARGS='--port 7861']
	@python -m tools.chat_web $(ARGS)

test-model: $(READY) ## Whether the model loads and answers a few fixed prompts: make test-model [ARGS='--model-path folder']
	@python -m tools.check_model $(ARGS)

samples: $(READY) ## Write data/samples again, the same bytes
	@python -m tools.make_samples

lock: $(READY) ## Resolve requirements/cpu.in anew into cpu.txt and gpu.txt
	@python -m tools.lock

clean: ## Remove what was made here; data/raw, params.yaml, .venv and DVC's cache stay, so `make repro` brings it back
	@rm -rf data/pseudonyms.json data/interim data/sharegpt data/splits data/encoded data/eval data/rejects models .evaluations .checkpoints
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
