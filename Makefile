PYTHON ?= python3
.PHONY: setup
setup:
	@test -x .venv/bin/photon || echo "being built"
