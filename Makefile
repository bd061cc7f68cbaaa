# Everything a person or CI does with a checkout. `make help` lists it.
#
#   PYTHON=python3.12 make setup     another interpreter (3.11 or later)
#   make test ARGS="-k escrow -x"    arguments for pytest

PYTHON ?= python3
ARGS ?=
export PYTHON
export UV_PYTHON_DOWNLOADS = never

.DEFAULT_GOAL := wheels
.PHONY: help wheels setup run test test-full lint fmt docs lock bare clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

wheels: setup  ## (the default) the wheels of all distributions, in dist/
	@.venv/bin/python tools/build_wheels.py dist

setup:  ## .venv with everything in it, at the locked versions; quick when nothing changed
	@tools/setup

run: setup  ## a whole network on this machine, one deployment from its file to a paid, running workload
	@.venv/bin/photon up --demo examples/web.yml

test: setup  ## the default suite: lint, types, unit, plugins, integration, end to end
	@tools/tox run -qq -e py -- $(ARGS)

test-full: setup  ## the whole tox matrix: every Python found, core alone, each plugin alone, lint, docs, wheels
	@tools/tox run

lint: setup  ## ruff, mypy, import layers, the shape of the repository
	@tools/tox run -qq -e lint

fmt: setup  ## format, and fix what the linter can fix
	@.venv/bin/ruff format -q . && .venv/bin/ruff check -q --fix .

docs: setup  ## the documentation as a site, in site/
	@.venv/bin/mkdocs build -q --strict && echo "site/index.html"

lock: setup  ## resolve the dependencies again (UPGRADE=1: to their newest versions)
	@tools/lock

bare:  ## README's commands on a bare Debian 12, as root and as a user (needs root and debootstrap)
	@tools/bare_machine.py --as root && tools/bare_machine.py --as user

clean:  ## remove everything that was made here
	rm -rf .venv .tox .cache dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
