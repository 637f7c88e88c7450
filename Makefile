# Everything runs in .venv, which is made on first use with the tested versions of constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
# A process that crashes ends the run: without it, the others would wait for its tests forever.
PARALLEL := -n 2 --dist loadfile --max-worker-restart 0

.PHONY: quickstart test slow slow-ci check docs parity clean

quickstart: .venv/installed
	$(BIN)/detzoo quickstart

test: .venv/installed-dev .venv/mmdet
	$(BIN)/python -m pytest $(PARALLEL)

slow: .venv/installed-dev .venv/mmdet
	$(BIN)/python -m pytest -m slow

# Those of the slow tests that CI runs.
slow-ci: .venv/installed-dev .venv/mmdet
	$(BIN)/python -m pytest $(PARALLEL) -m "slow and ci"

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in site/; a warning is an error.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

parity: .venv/installed-dev
	$(BIN)/python -m tests.parity

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,check]'
	# They ask for a second OpenCV.
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps trackers imagecorruptions-imaug
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

# The configuration files of MMDetection's wheel, which the importer is tested with.
.venv/mmdet: .venv/installed
	$(BIN)/pip download --quiet --no-deps --only-binary :all: --dest .venv/wheels mmdet==2.28.2
	$(BIN)/python -m zipfile -e .venv/wheels/mmdet-2.28.2-py3-none-any.whl .venv/mmdet
	touch $@

clean:
	rm -rf .venv
