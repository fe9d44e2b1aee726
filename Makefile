# make quickstart [ARGS=--once]   a server with a real model reads ten handwritten digits
# make test [ARGS=tests/core]     the tests
# make soak [ARGS=--overload]     ten minutes of crashes, leaving clients and churn
# make clients                    clients that generators make of our descriptions, at work (needs Java)
# make sagemaker                SageMaker's own toolkits start the server (installs three environments)
# make kserve-wrapper CHECKOUT=DIR  TorchServe's wrapper for KServe before the server; DIR: a clone of pytorch/serve
# make images-test              images/Containerfile.* performed in chroots, and what they start (root; by hand)
# make formats                    every format of models with a real server (compiles one: takes minutes)
# make ahead [ARGS="--jobs N"]    ten million short jobs that stall at random, each run exactly once
# make protos                     the descriptors of the gRPC services, made of their .proto files
# make slow                       the tests that take long, and are not in make test
# make check                      ruff and mypy
# make docs                       the documentation as pages, in docs/_build; fails at a warning
# make cluster-test               workers on Ray: faked nodes, real ones in networks (root; RAY_PYTHON=... has Ray)
# make documents                  the commands of the documentation, run as a reader would
# make release VERSION=0.2.0       packages, bill of materials, licences and hashes in dist/VERSION; uploads nothing
# make dead-collector             two minutes of load, all traced, without a collector that takes spans
# make bench [ARGS=--quick]       this server beside the peers, measured on this machine
#
# All that is needed is Python 3.10 or newer. The first run makes $(VENV) and installs the project into it.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

# The checkout itself is installed, in the mode in which twistd finds our plugin in it.
INSTALL = $(VENV)/bin/python -m pip install --disable-pip-version-check \
	--constraint etc/constraints.txt --config-settings editable_mode=compat --editable

.PHONY: help quickstart test slow clients sagemaker kserve-wrapper images-test formats protos check docs cluster-test documents release ahead bench soak dead-collector clean
.NOTPARALLEL:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

quickstart: $(VENV)/.has-torch
	$(VENV)/bin/modelserver quickstart $(ARGS)

test: $(VENV)/.has-test
	$(VENV)/bin/python -m pytest $(ARGS)

slow: $(VENV)/.has-test
	$(VENV)/bin/python -m pytest -m slow $(ARGS)

clients: $(VENV)/.has-test $(VENV)/generators/.has-all
	MODELSERVER_GENERATORS=$(abspath $(VENV))/generators/bin \
		$(VENV)/bin/python -m pytest -n0 -rs tests/integration/test_generated_clients.py $(ARGS)

sagemaker: $(VENV)/.has-test
	$(VENV)/bin/python -m tests.harness.toolkits $(VENV)/toolkits
	MODELSERVER_SAGEMAKER_TOOLKITS=$(abspath $(VENV))/toolkits \
		$(VENV)/bin/python -m pytest -n0 -rs -m slow tests/deploy/test_sagemaker.py $(ARGS)

# Root; the wrapper is not among packages: git clone https://github.com/pytorch/serve, and name the folder.
kserve-wrapper: $(VENV)/.has-test
	$(VENV)/bin/python -m tests.harness.kserve_wrapper $(VENV)/kserve-wrapper
	MODELSERVER_TORCHSERVE_CHECKOUT=$(abspath $(CHECKOUT)) MODELSERVER_KSERVE_ENVIRONMENT=$(abspath $(VENV))/kserve-wrapper \
		$(VENV)/bin/python -m pytest -n0 -rs -m slow tests/deploy/test_kserve_wrapper.py $(ARGS)

# Root, and network for pip: CI does not run it. Stages are kept until what they are made of changes.
IMAGES ?= /var/tmp/modelserver-images
images-test: $(VENV)/.has-test
	MODELSERVER_IMAGES=$(IMAGES) $(VENV)/bin/python -m pytest -n0 -rs -m slow tests/images $(ARGS)

formats: $(VENV)/.has-test
	MODELSERVER_COMPILES=1 $(VENV)/bin/python -m pytest -n0 -rs -s \
		tests/integration/test_model_formats.py tests/child/handlers/test_programs.py $(ARGS)

protos: $(VENV)/.has-test $(VENV)/.has-dev
	$(VENV)/bin/python -m tests.harness.protos

check: $(VENV)/.has-test $(VENV)/.has-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/.has-test $(VENV)/.has-docs
	$(VENV)/bin/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
	$(VENV)/bin/sphinx-build --quiet --fail-on-warning --keep-going -b singlehtml docs docs/_build/single
	$(VENV)/bin/python -m tests.harness.site docs/_build/html max_batch_delay

# Ray has an environment of its own: make cluster-test RAY_PYTHON=/path/to/python; those in networks need root.
RAY_PYTHON ?= $(VENV)/bin/python
cluster-test:
	CLUSTER_NETWORK=1 $(RAY_PYTHON) -m pytest -n0 -rs -m slow tests/cluster $(ARGS)

documents: $(VENV)/.has-test $(VENV)/.has-dev
	$(VENV)/bin/python -m tests.harness.document_blocks $(ARGS)

release: $(VENV)/.has-release
	$(VENV)/bin/python -m tools.release $(VERSION) $(ARGS)

bench: $(VENV)/.has-torch $(VENV)/.has-uvloop
	$(VENV)/bin/python -m bench $(ARGS)

soak: $(VENV)/.has-test $(VENV)/.has-uvloop
	$(VENV)/bin/python -m bench.soak $(ARGS)

dead-collector: $(VENV)/.has-tracing $(VENV)/.has-uvloop
	$(VENV)/bin/python -m bench.dead_collector $(ARGS)

ahead: $(VENV)/.has-test
	$(VENV)/bin/python -m bench.ahead $(ARGS)

clean:
	rm -rf $(VENV) build modelserver.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed; name one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/generators/.has-all: etc/client-generators.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/generators
	$(VENV)/generators/bin/python -m pip install --disable-pip-version-check -r etc/client-generators.txt
	@touch $@

# A stamp for each extra, so that a second run starts at once.
$(VENV)/.has-%: setup.cfg setup.py pyproject.toml etc/constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[$*]'
	@touch $@
