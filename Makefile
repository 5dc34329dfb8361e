# Each target prepares what it needs; when nothing changed, that takes a moment.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := .venv/bin/python
ARGS ?=

.PHONY: run accelerator setup prepare-dev python test check bench soak bench-large clean

run: setup
	@exec $(RUN) app.py serve $(ARGS)

accelerator: python
	@$(PYTHON) tools/prepare.py --accelerator
	@exec .venv-accelerator/bin/python accelerator_app.py $(ARGS)

setup: python
	@$(PYTHON) tools/prepare.py

prepare-dev: python
	@$(PYTHON) tools/prepare.py --dev

python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 is missing. Debian 12: apt-get install python3.11"; exit 1; }

test: prepare-dev
	$(RUN) -m tests.lanes $(ARGS)

check: prepare-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pyright
	$(RUN) -m pytest -m "not models and not e2e" $(ARGS)

bench: prepare-dev
	$(RUN) app.py bench $(ARGS)

soak: prepare-dev
	$(RUN) -m bench.soak $(ARGS)

bench-large: prepare-dev
	$(RUN) -m bench.big_seamless $(ARGS)
	$(RUN) -m bench.big_nllb
	$(RUN) -m bench.big_voices
	$(RUN) -m bench.big_f5

clean:
	rm -rf .venv .venv-accelerator .pytest_cache .ruff_cache tests/e2e/shots bench/out
