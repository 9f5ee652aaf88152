# `make run` and `make test` need nothing but a C++ compiler and Python 3.11: the first call makes .venv and installs
# into it, later calls find that done. Deleting .venv starts afresh.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/stamps
MODELS ?= pebble
NATIVE := $(shell find src/freehold/native -type f)
PACKAGES := $(shell find src/freehold -name __init__.py)

.DELETE_ON_ERROR:
.PHONY: run serve test test-neon check format bench clean parity-llamacpp

run: $(STAMPS)/base          ## the bundled model reads a message
	@$(BIN)/freehold demo

serve: $(STAMPS)/base        ## OpenAI's API on port 8000; MODELS="..." serves others
	@$(BIN)/freehold serve $(MODELS)

test: $(STAMPS)/dev          ## ARGS="..." goes to pytest
	$(BIN)/python -m pytest $(ARGS)

# Needs Debian and its packages g++-aarch64-linux-gnu, qemu-user and cmake; everything else comes into build/arm.
test-neon: $(STAMPS)/venv    ## the kernels' tests on an emulated 64-bit Arm processor; ARGS="..." goes to pytest
	$(BIN)/python scripts/emulate_arm.py $(ARGS)

# Builds the peer, for this processor, in an environment of its own, which takes ten minutes; FREEHOLD_LLAMA_PYTHON=...
# names one that is there.
FREEHOLD_LLAMA_PYTHON ?= $(STAMPS)/llama.cpp/bin/python
parity-llamacpp: $(STAMPS)/dev $(FREEHOLD_LLAMA_PYTHON)  ## our GGUF files in llama.cpp, and its in ours
	FREEHOLD_LLAMA_PYTHON=$(FREEHOLD_LLAMA_PYTHON) $(BIN)/python -m pytest tests/parity -k llama_cpp $(ARGS)

$(STAMPS)/llama.cpp/bin/python:
	$(PYTHON) -m venv $(STAMPS)/llama.cpp
	$@ -m pip install --quiet --disable-pip-version-check \
	  --no-binary=llama-cpp-python 'llama-cpp-python[server]==0.3.36'

check: $(STAMPS)/dev         ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# In quick modes, on a machine that does nothing else. BENCH="..." goes to each of them.
bench: $(STAMPS)/dev $(FREEHOLD_LLAMA_PYTHON)  ## each ends in one line of JSON
	$(BIN)/python benchmarks/roofline.py --quick $(BENCH)
	$(BIN)/python benchmarks/vs_llamacpp.py --quick --llama-python $(FREEHOLD_LLAMA_PYTHON) $(BENCH)
	$(BIN)/python benchmarks/vs_transformers.py --quick $(BENCH)
	$(BIN)/python benchmarks/speculation.py --quick $(BENCH)
	$(BIN)/python benchmarks/caches.py --quick $(BENCH)
	$(BIN)/python benchmarks/prefix_cache.py --quick --llama-python $(FREEHOLD_LLAMA_PYTHON) $(BENCH)
	$(BIN)/python benchmarks/cold_start.py --quick --llama-python $(FREEHOLD_LLAMA_PYTHON) $(BENCH)
	$(BIN)/python benchmarks/server_load.py --quick --llama-python $(FREEHOLD_LLAMA_PYTHON) $(BENCH)

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Freehold needs Python 3.11 or later, this is " + sys.version.split()[0] + "\n\nhint: make PYTHON=/path/to/a/newer/python3")'
	$(PYTHON) -m venv .venv
	@mkdir -p $(STAMPS) && touch $@

# The package is installed in place, so only its dependencies, its kernels and new packages make this necessary again.
$(STAMPS)/base: pyproject.toml $(NATIVE) $(PACKAGES) | $(STAMPS)/venv
	@echo "installing Freehold into .venv; compiling its kernels takes a minute"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/base
	@echo "installing what the tests need into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@
