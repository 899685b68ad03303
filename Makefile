# Everything a fresh machine with Python 3.11+ and git needs. `make help` lists the verbs.

PYTHON ?= python3
UV_VERSION := 0.13.8

# A virtual environment that another Python or project made must not leak in.
unexport VIRTUAL_ENV
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Where PYTHONDONTWRITEBYTECODE is set, every stage would compile torch anew.
export UV_COMPILE_BYTECODE := 1
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help env pull lock repro test lint bench lab report clean

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: .venv/.ready ## build .venv from requirements.lock (about a minute)

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, got {sys.version.split()[0]}; set PYTHON=...")'
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet uv==$(UV_VERSION)
	.venv/bin/uv pip install --quiet --python .venv/bin/python --requirements requirements.lock
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

pull: env ## check out the bundled images (data/) from datastore/
	@test -e .git || dvc config --local core.no_scm true  # an unpacked archive
	dvc pull --quiet data.dvc

lock: env ## resolve pyproject.toml anew into requirements.lock
	.venv/bin/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 --all-extras pyproject.toml --constraint requirements.pins --output-file requirements.lock

repro: pull ## regenerate every table and the report; SCALE=smoke|tour|real|paper changes the size
ifdef SCALE
	python -m repro scale $(SCALE)
endif
	dvc repro

test: pull lint ## environment, lint, every test, on all cores
	pytest --numprocesses auto --maxprocesses 8 --dist worksteal

lint: env ## ruff and mypy
	ruff check
	ruff format --check
	mypy

bench: env ## time the kernels against their goals; rows under results/benchmark/
	python benchmarks/bench_ddf.py $(BENCH)
	python benchmarks/bench_fdconv.py $(BENCH)

lab: pull ## open the notebooks
	jupyter lab notebooks

report: env ## write the report page again from the tables there are
	python -m repro report

clean: ## remove what can be made again (build/), keep results, data and .venv
	rm -rf build
