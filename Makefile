# What people run and what CI runs. A stamp file stands for each finished installation, so that a
# second run installs nothing.

PYTHON_FILES := host.config.py example/demo.py

PIP_INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check
NPM_CI := npm ci --loglevel=error --no-progress

PROJECT := .venv/.project-installed
DEVELOPMENT := .venv/.development-installed
NPM := node_modules/.installed
EXAMPLE_NPM := example/node_modules/.installed
DJANGO_EXAMPLE_NPM := example/django/node_modules/.installed

# tools/use-node links a Node here when the one on PATH will not do.
export PATH := $(CURDIR)/.venv/node:$(PATH)
# For tools/find-python: make PYTHON=/path/to/python3
export PYTHON
# Tests start hundreds of Pythons; without bytecode each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Installations share .venv: one after the other, whatever -j says.
.NOTPARALLEL:
.PHONY: help demo test test-fast test-versions test-django check bench format clean use-node

help:  ## List what can be made
	@echo 'Usage: make <target>'
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1 \2/p' Makefile | \
		while read -r target text; do printf '  %-14s %s\n' "$$target" "$$text"; done

demo: $(PROJECT) $(EXAMPLE_NPM)  ## Start a host, call functions of both languages, stop it
	@.venv/bin/python example/demo.py

test: $(DEVELOPMENT) $(NPM) $(EXAMPLE_NPM) $(DJANGO_EXAMPLE_NPM)  ## Run all tests, Python's and JavaScript's
	tools/run-tests

test-fast: $(DEVELOPMENT) $(NPM)  ## Run the pure tests: no process, no socket, a few seconds
	@tools/run-tests fast

test-versions: $(DEVELOPMENT) $(NPM)  ## Test with Python 3.12 and 3.13, Node 22 and 24
	tools/test-versions

test-django: $(DEVELOPMENT) $(DJANGO_EXAMPLE_NPM)  ## Test with Django 4.2, 5.2 and the newest
	tools/test-django

check: $(DEVELOPMENT) $(NPM)  ## Check style, types and which way imports go
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy $(PYTHON_FILES)
	node_modules/.bin/tsc --project .
	.venv/bin/python -m pytest --quiet tests/test_import_rules.py

bench: $(DEVELOPMENT) use-node  ## Measure, side by side with the alternatives
	.venv/bin/python bench/setup.py && .venv/bin/python bench/promises.py && .venv/bin/python bench/run.py

format: $(DEVELOPMENT)  ## Rewrite the Python code in its style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:  ## Remove what was installed and what tools wrote
	rm -rf .venv node_modules example/node_modules bench/.venv bench/node_modules
	rm -rf .venv-django-* .venv-py* .venv-node* example/django/node_modules example/django/db.sqlite3
	rm -rf build dist *.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis

# pip is the last thing that a new environment gets: with it, the environment is whole.
.venv/bin/pip:
	@python="$$(tools/find-python)" && echo "Making .venv with $$("$$python" --version)." && \
		"$$python" -m venv .venv

$(PROJECT): pyproject.toml example/requirements.txt | .venv/bin/pip
	@echo 'Installing jshost and what the example needs into .venv.'
	@$(PIP_INSTALL) --editable . --requirement example/requirements.txt
	@touch $@

$(DEVELOPMENT): pyproject.toml example/requirements.txt | .venv/bin/pip
	@echo 'Installing jshost and what its development needs into .venv.'
	@$(PIP_INSTALL) --editable '.[dev]' --requirement example/requirements.txt
	@touch $@ $(PROJECT)

use-node: | $(PROJECT)
	@tools/use-node

$(NPM): package.json package-lock.json .npmrc | use-node
	@echo 'Installing the npm packages that checks and tests need.'
	@$(NPM_CI) && touch $@

$(EXAMPLE_NPM): example/package.json example/package-lock.json example/.npmrc | use-node
	@echo "Installing the example's npm packages."
	@cd example && $(NPM_CI)
	@touch $@

$(DJANGO_EXAMPLE_NPM): example/django/package.json example/django/package-lock.json example/django/.npmrc | use-node
	@echo "Installing the Django example's npm packages."
	@cd example/django && $(NPM_CI)
	@touch $@
