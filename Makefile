# make demo: set everything up and run the quickstart mission; make test: every check.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test setup lint types imports docs clean-demo

demo: setup
	@$(BIN)/fde -C demo playbook run quickstart

test: setup lint types imports
	$(BIN)/python -m pytest

setup:
	@$(PYTHON) scripts/setup.py

lint:
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

docs:
	$(BIN)/python scripts/docs_cli.py

clean-demo:
	rm -rf demo
