# make demo   install into .venv and run the main job on sample data
# make test   install into .venv and run all the tests
# make test-lowest  the same with the oldest versions allowed
# make test-ray  the tests of clusters with Ray installed, too
# make check  lint and types      make bench  speed beside its peers      make soak  random kills, for long
# make pictures  those of the pages, from real runs

PYTHON ?= python3
VENV ?= .venv
# Half as many again as there are CPUs: the tests start programs, and wait for them.
PYTEST_ARGS ?= --numprocesses $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo test test-ray test-lowest check lint types soak bench pictures clean

demo: $(STAMP)
	$(BIN)/batchrun process sample_data/airport_pairs.csv --task sample_data/tasks.py:match --jobs 8
	@echo
	@echo "The first results, sample_data/airport_pairs.results.csv:"
	@$(BIN)/python -c "import csv, itertools; rows = csv.DictReader(open('sample_data/airport_pairs.results.csv', encoding='utf-8')); [print(' ', r['name_a'], '|', r['name_b'], '|', r['result_same']) for r in itertools.islice(rows, 5)]"

test: $(STAMP)-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-ray: $(STAMP)-dev $(STAMP)-ray
	$(BIN)/python -m pytest -rf --tb=short tests/promises/test_cluster.py tests/soak/test_cluster_soak.py

# The same tests with the oldest versions that pyproject.toml allows.
test-lowest: $(STAMP)-dev
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-lowest/bin/python -m pip install --quiet --group dev --editable . \
	  $$($(BIN)/python -c "import tomllib; print(*(d.replace('>=', '==') for d in tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))")
	$(VENV)-lowest/bin/python -m pytest $(PYTEST_ARGS)

check: lint types

lint: $(STAMP)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)-dev
	$(BIN)/mypy

soak: $(STAMP)-dev
	SOAK_KILLS=$${SOAK_KILLS:-1000} EVERY_OPERATION=1 POWER_CUTS=$${POWER_CUTS:-400} $(BIN)/python -m pytest \
	  tests/soak tests/promises/test_disk.py -s --timeout 7200

# BENCH_ARGS: --quick to try it, --write to put the figures into docs/performance.md, --help for more.
bench: $(STAMP)-bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

# docs/pictures: the live view and the report, from real runs. Needs Chromium.
pictures: $(STAMP)-dev
	$(BIN)/python -m pip install --quiet --group pictures
	$(BIN)/python docs/pictures/draw.py

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'batchrun needs Python 3.11 or later: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(STAMP): $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(STAMP)-dev: $(STAMP)
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(STAMP)-bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

$(STAMP)-ray: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[ray]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name '*.batchrun' -type d -prune -exec rm -rf {} +
