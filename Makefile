# make help lists the targets; the commands under them stand in the README, for use without make.

PYTHON ?= python3
CONCEPT ?= locations
SCALE ?= quick
MODEL ?= minilm
SEED ?= 0
REGIME ?= surgical
CORPUS ?= conll2003
TAGS ?= entity
# Other tags or another corpus: part of the page's name, and of no concept's own page.
TASK := $(filter-out conll2003-entity,$(notdir $(CORPUS:/=))-$(TAGS))
NOTEBOOK ?= $(or $(if $(TASK),,$(wildcard notebooks/$(CONCEPT).ipynb)),notebooks/concept.ipynb)

VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := requirements.txt requirements-nodeps.txt pyproject.toml
# Named after what it holds, so that any change of the requirement files installs again.
STAMP := $(VENV)/installed-$(shell cat $(REQUIREMENTS) | cksum | cut -d' ' -f1)
PAGE := runs/pages/$(CONCEPT)-$(if $(TASK),$(TASK)-)$(notdir $(MODEL))-$(REGIME)-$(SCALE)-seed$(SEED)

# glibc gives freed memory back to the system at every step unless told to keep it.
export MALLOC_MMAP_THRESHOLD_ ?= 1000000000
export MALLOC_TRIM_THRESHOLD_ ?= 1000000000
export HF_HUB_DISABLE_TELEMETRY = 1
# Each of many processes would compile all that it imports, where this is set.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install run test test-fast book pdf zip pages figures notebooks lab check clean bench bench-growth bench-report

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo 'variables: CONCEPT SCALE MODEL SEED REGIME CORPUS TAGS, e.g. make run CONCEPT=NNP TAGS=pos'

install: $(STAMP)  ## make .venv and install what is pinned

run: $(STAMP)  ## run a concept on the real corpus and render its page
	$(BIN)/plasticity run --concept $(CONCEPT) --scale $(SCALE) --model $(MODEL) --seed $(SEED) --regime $(REGIME) --corpus $(CORPUS) --tags $(TAGS)
	mkdir -p $(dir $(PAGE))
	$(BIN)/papermill --no-progress-bar --log-level WARNING $(NOTEBOOK) $(PAGE).ipynb -p concept $(CONCEPT) -p scale $(SCALE) -p model $(MODEL) -p seed $(SEED) -p regime $(REGIME) -p corpus $(CORPUS) -p tags $(TAGS)
	$(BIN)/plasticity page $(PAGE).ipynb $(PAGE)

test: $(STAMP)  ## all tests, offline
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

test-fast: $(STAMP)  ## tests that neither train nor open a browser
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile -m 'not slow and not browser'

book: $(STAMP)  ## build the book from the committed notebooks, warnings as errors
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo 'book: _build/html/index.html'

pdf: book  ## the book as one PDF, printed by a browser
	$(BIN)/plasticity pdf _build/html _build/plasticity.pdf

zip: book  ## the book in one file, to be read offline
	$(BIN)/plasticity zip _build/html _build/plasticity.zip

pages: $(STAMP)  ## the concepts' pages from notebooks/concept.py and notebooks/prose/
	$(BIN)/plasticity pages

figures: $(STAMP)  ## every chart of the committed notebooks as SVG and PNG
	$(BIN)/plasticity figures notebooks _build/figures

notebooks: $(STAMP)  ## execute the committed notebooks again, in place
	TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=7200 --ExecutePreprocessor.store_widget_state=False --ExecutePreprocessor.record_timing=False notebooks/*.ipynb

lab: $(STAMP)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

check: $(STAMP)  ## lint, format, types, notebooks in sync
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/jupytext --test-strict --to py:percent notebooks/*.ipynb

bench: $(STAMP)  ## ours beside NeuroX and the Trainer; OPTIONS="--rows scores run --again"
	$(BIN)/python -m benchmarks $(OPTIONS)

bench-growth: $(STAMP)  ## time and memory against words, neurons and concepts
	$(BIN)/python -m benchmarks growth $(OPTIONS)

bench-report: $(STAMP)  ## the tables that the page on cost reads
	$(BIN)/python -m benchmarks report

clean:  ## remove what was built; runs/ and .venv stay
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache *.egg-info

# A half-installed environment cannot be told from a whole one, so it is made anew.
$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=...'; exit 1; }
	@if [ -e $(VENV)/installing ] || ! $(BIN)/python -c 'import pip' 2>/dev/null; then rm -rf $(VENV); fi
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/installed-*; touch $(VENV)/installing
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -r requirements-nodeps.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@rm $(VENV)/installing; touch $@
