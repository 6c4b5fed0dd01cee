# Two commands matter: `make reproduce` and `make test`. Both build the environment in .venv first.
#
#   make reproduce    every experiment, verdict and figure at laptop scale (SCALE=smoke|laptop|paper, CORES=all)
#   make test         the whole test suite
#   make lint         style, types, workflow, notebooks without outputs, schemas in step with the models
#                     (MNIST_DIR=folder names the files of MNIST, here, for smoke and for test; without it they are fetched)
#   make smoke        the whole pipeline at smoke scale; fails if a verdict differs from the recorded one, or a file from its digest
#   make bench        ours against peers, side by side (ROUNDS=5, BENCH=B4 for one of B1-B3, B4, B5, B6, B7, B8-B10, B9); 10 minutes on an idle machine
#   make mutants      one wrong sign at a time: does a test notice? (COUNT=300, SEED=1, SHARD=1/4, CLAIMS=--claims); hours
#   make new          the skeleton of an experiment (PAPER=name EXPERIMENT=name); it runs and is judged as it stands
#   make env          only the environment (PYTHON=python3.12 chooses the interpreter)
#   make lock         compile requirements.lock from pyproject.toml (maintainers; needs pip-tools on the PATH)
#   make clean        delete everything generated: results, logs, caches, the environment

PYTHON ?= python3
SCALE ?= laptop
CORES ?= all
WORKERS ?= 2
ROUNDS ?= 5
COUNT ?= 300
SEED ?= 1
SHARD ?= 1/1
# in recipes: the absolute path, for tests that run in folders of their own
export MNIST_DIR
DATA := $(if $(MNIST_DIR),mnist_dir='$(MNIST_DIR)')

STAMP := .venv/flowcheck.stamp
BENCH_STAMP := .venv-bench/flowcheck.stamp
# inside recipes only: the environment itself is built by the interpreter the caller sees
IN_ENV := PATH="$(CURDIR)/.venv/bin:$$PATH"
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet

# set by git for its hooks: what is run here is about this checkout, and no other repository
unexport GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_NAMESPACE GIT_PREFIX

.DEFAULT_GOAL := help
.PHONY: help env reproduce smoke test new bench mutants lint lock clean

help:
	@sed -n 's/^#   //p' Makefile

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "flowcheck needs Python 3.11 or newer, and '$(PYTHON)' is not; name one: make env PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps -e .
	@touch $@

reproduce: env
	$(IN_ENV) snakemake --cores $(CORES) --config scale=$(SCALE) $(DATA)
	@echo
	@echo "report: $(CURDIR)/results/$(SCALE)/report/index.html"
	@$(IN_ENV) python -m flowcheck expected --scale $(SCALE) || echo "(a verdict is a result: the lines above are no failure of this run)"

smoke: env
	$(IN_ENV) snakemake --cores $(CORES) --config scale=smoke $(DATA)
	$(IN_ENV) python -m flowcheck verify --scale smoke
	$(IN_ENV) python -m flowcheck expected --scale smoke

test: env
	$(IN_ENV) python -m pytest -n $(WORKERS) --dist loadfile

new: env
	@$(IN_ENV) python -m flowcheck new "$(PAPER)" "$(EXPERIMENT)"

# an environment of its own, so that the peers never change what the pipeline runs on
$(BENCH_STAMP): requirements.lock requirements-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install -r requirements.lock -r requirements-bench.txt
	@touch $@

bench: $(BENCH_STAMP)
	PYTHONPATH="$(CURDIR)/src:$(CURDIR)" .venv-bench/bin/python -m benchmarks.run --rounds $(ROUNDS) $(addprefix --only ,$(BENCH))

mutants: env
	$(IN_ENV) python -m tools.mutants --count $(COUNT) --seed $(SEED) --shard $(SHARD) $(CLAIMS)
	@$(IN_ENV) python -m tools.mutants --seed $(SEED) --table

lint: env
	@git rev-parse --git-dir >/dev/null 2>&1 || { echo "make lint reads the list of files from git, and this is no git checkout" >&2; exit 1; }
	$(IN_ENV) pre-commit run --all-files
	$(IN_ENV) snakemake --lint
	$(IN_ENV) mypy
	$(IN_ENV) python -m flowcheck schemas --check

# to be run with the oldest Python that is supported: some releases need 3.11.5 or 3.12, and the lock must hold from 3.11.0 on;
# the local part of a version (2.13.0+cpu) names a build that only some machines have, so it is left out
lock:
	pip-compile --strip-extras --extra dev --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --quiet --output-file requirements.lock pyproject.toml
	sed -i 's/^\([a-z0-9_.-]*==[0-9.]*\)+[a-z0-9.]*$$/\1/' requirements.lock

clean:
	rm -rf results/smoke results/laptop results/paper report.zip logs .snakemake .cache .venv .venv-bench
	rm -f benchmarks/results.json benchmarks/results.md benchmarks/results.png
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf src/*.egg-info
