# Everything sets up what it needs with Debian's python3.11, python3-venv, make and git alone.
# A second run does nothing twice: each environment has a stamp, `.venv*/.ready`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Tests that look at the clock do not share two cores with another run of themselves.
.NOTPARALLEL:
# Stamps that a pattern rule made are kept, too.
.SECONDARY:

PYTHON ?= python3.11
# Other Pythons that the tests run on, where they are on PATH.
PYTHONS ?= python3.12 python3.13
# More arguments for pytest, for example: make test PYTEST_ARGS='-x -k chord'
PYTEST_ARGS ?=
# Servers to start by hand.
NAMES ?=
# Where demo and celery-suite store results, and the demo's broker; both have defaults of their own.
URL ?=
BROKER ?=
# More arguments for benchmarks.
ARGS ?=

sources := $(wildcard kvbackends adapters tests examples benchmarks tools)
typed := kvbackends tests/servers $(wildcard adapters/*/kvbackends_* examples benchmarks)
# What every supported Celery and Python has to pass.
backend_tests = $(wildcard tests/backend)
portable_tests = $(wildcard tests/contract tests/backend)
# What the lowest versions of redis-py and hiredis have to pass; `.venv` has the highest.
redis_lowest = adapters/redis/tests/test_conformance.py::TestRedis \
    $(addprefix adapters/redis/tests/test_,connections.py listening.py options.py told.py) \
    adapters/redis/tests/test_public_driver.py --deselect adapters/redis/tests/test_public_driver.py::TestConformance
pytest = -m pytest -m "not slow" $(PYTEST_ARGS)
# The conformance suite is run in full on one version of each server.
store_quick = --store-quick
url = $(if $(URL),--url '$(URL)')
broker = $(if $(BROKER),--broker '$(BROKER)')
project := pyproject.toml kvbackends/_version.py tools/make_env $(wildcard adapters/*/pyproject.toml)

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ------------------------------------------------------------------------------- environments

.venv/.ready: requirements/dev.txt $(project)
	@tools/make_env .venv $(PYTHON) requirements/dev.txt
	@touch $@

.venv-celery56/.ready: requirements/celery56.txt $(project)
	@tools/make_env .venv-celery56 $(PYTHON) requirements/celery56.txt
	@touch $@

.venv-elasticsearch9/.ready: requirements/elasticsearch9.txt $(project)
	@tools/make_env .venv-elasticsearch9 $(PYTHON) requirements/elasticsearch9.txt
	@touch $@

.venv-redis-lowest/.ready: requirements/redis-lowest.txt $(project)
	@tools/make_env .venv-redis-lowest $(PYTHON) requirements/redis-lowest.txt
	@touch $@

.venv-suite/.ready: requirements/suite.txt $(project)
	@tools/make_env .venv-suite $(PYTHON) requirements/suite.txt
	@touch $@

.venv-python%/.ready: requirements/dev.txt $(project)
	@tools/make_env .venv-python$* python$* requirements/dev.txt
	@touch $@

.PHONY: debian-packages
debian-packages:
	@tools/debian_packages redis-server=redis-server redis-sentinel=redis-sentinel \
	    redis-cli=redis-tools memcached=memcached ps=procps \
	    /usr/lib/rabbitmq/bin/rabbitmq-server=rabbitmq-server \
	    /usr/lib/x86_64-linux-gnu/libcurl.so.4=libcurl4 \
	    /usr/lib/jvm/java-17-openjdk-amd64/bin/java=openjdk-17-jre-headless mvn=maven

# -------------------------------------------------------------------------------------- to run

.PHONY: servers
servers: .venv/.ready debian-packages  ## real servers until Ctrl-C; alone it lists them  [NAMES="redis mongodb"]
	@.venv/bin/python -m tests.servers $(NAMES)

.PHONY: demo
demo: .venv/.ready  ## a real Celery job on SQLite, no server needed  [URL=kv+... BROKER=...]
	@.venv/bin/python -m examples.wordcount $(url) $(broker)

.PHONY: bench
bench: .venv/.ready  ## side by side with Celery's own backends  [ARGS=...]
	@.venv/bin/python -m benchmarks $(ARGS)

# ------------------------------------------------------------------------------------- to prove

.PHONY: test
test: test-core test-celery56 test-elasticsearch9 test-redis-lowest test-pythons  ## all that proves the project; may install Debian packages, needs root for it

.PHONY: test-all
test-all: pytest = -m pytest --store-full $(PYTEST_ARGS)
test-all: store_quick =
test-all: test celery-suite  ## `test`, the slow tests and the whole of Celery's own suite

.PHONY: test-core
test-core: .venv/.ready .venv-suite/.ready debian-packages
	.venv/bin/python -m tests.servers --download
	.venv/bin/python $(pytest)

.PHONY: test-celery56
test-celery56: .venv-celery56/.ready debian-packages
	@$(if $(backend_tests),,echo "test: there is no tests/backend yet: nothing run with Celery 5.6")
	$(if $(backend_tests),.venv-celery56/bin/python $(pytest) $(backend_tests))

.PHONY: test-elasticsearch9
test-elasticsearch9: .venv-elasticsearch9/.ready debian-packages
	.venv-elasticsearch9/bin/python $(pytest) $(store_quick) adapters/elasticsearch/tests

.PHONY: test-redis-lowest
test-redis-lowest: .venv-redis-lowest/.ready debian-packages
	.venv-redis-lowest/bin/python $(pytest) $(store_quick) $(redis_lowest)

.PHONY: test-pythons
test-pythons: debian-packages
	@for python in $(PYTHONS); do \
	    if $$python -c pass 2>/dev/null; then $(MAKE) --no-print-directory test-$$python; \
	    else echo "test: no $$python on PATH that runs: left out"; fi; \
	done

test-python%: .venv-python%/.ready
	@$(if $(portable_tests),,echo "test: there is no tests/contract yet: nothing run with Python $*")
	$(if $(portable_tests),.venv-python$*/bin/python $(pytest) $(portable_tests))

.PHONY: celery-suite
celery-suite: .venv-suite/.ready debian-packages  ## Celery's own integration suite, ten minutes  [URL=kv+...]
	@.venv-suite/bin/python -m tests.celery_suite $(url)

.PHONY: soak
soak: .venv/.ready  ## the conformance suite 50 times in a row: no check may fail by chance  [ARGS=times]
	@.venv/bin/python tools/soak.py $(ARGS)

.PHONY: lint
lint: .venv/.ready  ## style, types and the direction of imports
	.venv/bin/ruff check $(sources)
	.venv/bin/ruff format --check $(sources)
	.venv/bin/mypy $(typed)
	.venv/bin/lint-imports
	.venv/bin/python tools/reference.py --check

# ------------------------------------------------------------------------------------- to keep

.PHONY: format
format: .venv/.ready  ## lay the source out, and mend what ruff can mend safely
	.venv/bin/ruff format $(sources)
	.venv/bin/ruff check --fix $(sources)

.PHONY: docs
docs: .venv/.ready  ## write the generated tables of docs/ again
	.venv/bin/python tools/reference.py

.PHONY: requirements
requirements:  ## compile requirements/*.in to pinned *.txt  [ARGS=--upgrade]
	@for source in requirements/*.in; do \
	    $$(tools/find_uv $(PYTHON)) pip compile --quiet --universal --python-version 3.11 \
	        --generate-hashes --no-emit-index-url --no-annotate \
	        --custom-compile-command "make requirements" $(ARGS) $$source -o $${source%.in}.txt; \
	done

.PHONY: clean
clean:  ## remove environments and caches
	rm -rf .venv* .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis \
	    build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
