# Everything sets up what it needs with Debian's python3.11, python3-venv, make and git alone.
# A second run does nothing twice: each environment has a stamp, `.venv*/.ready`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Only `test` runs things side by side: four suites at a time, in a make of its own.
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif
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
# Leaves the page of the demo's chord open.
WEB ?=
# More arguments for benchmarks.
ARGS ?=
# Tests start hundreds of processes; each would compile Celery and pytest again where this is set.
export PYTHONDONTWRITEBYTECODE =

sources := $(wildcard kvbackends adapters tests examples benchmarks tools)
typed := kvbackends tests/servers $(wildcard adapters/*/kvbackends_* examples benchmarks)
# Other task queues, beside which `--peers` measures, need an environment of their own.
bench_env = .venv$(if $(filter --peers,$(ARGS)),-peers)
# What every supported Celery and Python has to pass.
backend_tests = $(wildcard tests/backend)
portable_tests = $(wildcard tests/contract tests/backend)
fast_tests = tests/core tests/backend tests/contract tests/test_workspace.py
# What the lowest versions of redis-py and hiredis have to pass; `.venv` has the highest.
redis_lowest = adapters/redis/tests/test_conformance.py::TestRedis \
    $(addprefix adapters/redis/tests/test_,connections.py listening.py options.py told.py) \
    adapters/redis/tests/test_public_driver.py --deselect adapters/redis/tests/test_public_driver.py::TestConformance
# FULL is set by `test-all`.
pytest = -m pytest $(if $(FULL),--store-full,-m "not slow") $(PYTEST_ARGS)
# The conformance suite is run in full on one version of each server, elsewhere without what repeats.
store_quick = $(if $(FULL),,--store-quick -k "not derived")
# Real workers; then servers and installations.
e2e_tests = tests/e2e
system_tests = tests/servers tests/celery_suite $(addprefix tests/test_,demo.py guide.py outsider.py)
# Stores that are written in Java: their servers start slowly and take most of a core.
java_stores = adapters/elasticsearch/ adapters/cassandra/
# The conformance suite, its command, and the distributions.
suite_tests = tests/testing tests/cli tests/test_distributions.py
# What `make test` consists of. The longest come first, so that four at a time end together.
suites = test-redis test-core test-e2e test-system test-suite test-java test-adapters test-redis-lowest \
    test-celery56 test-elasticsearch9 test-pythons site
# Two cores are busy with four: tests of real processes wait a good part of their time.
side_by_side = --jobs=4 --output-sync=target --keep-going SIDE_BY_SIDE=1
# Beside other suites a failure is left for a second run.
run = $(if $(SIDE_BY_SIDE),tools/run_suite $@)
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

.venv-peers/.ready: requirements/peers.txt $(project)
	@tools/make_env .venv-peers $(PYTHON) requirements/peers.txt
	@touch $@

.venv-site/.ready: requirements/site.txt
	@tools/make_env .venv-site $(PYTHON) requirements/site.txt
	@touch $@

.venv-python%/.ready: requirements/dev.txt $(project)
	@tools/make_env .venv-python$* python$* requirements/dev.txt
	@touch $@

.PHONY: debian-packages
debian-packages:
	@tools/debian_packages redis-server=redis-server redis-sentinel=redis-sentinel \
	    redis-cli=redis-tools memcached=memcached ps=procps ip=iproute2 \
	    /usr/lib/rabbitmq/bin/rabbitmq-server=rabbitmq-server \
	    /usr/lib/x86_64-linux-gnu/libcurl.so.4=libcurl4 \
	    /usr/lib/jvm/java-17-openjdk-amd64/bin/java=openjdk-17-jre-headless mvn=maven \
	    /usr/lib/postgresql/15/bin/initdb=postgresql-15 psql=postgresql-client-15 pgbouncer=pgbouncer \
	    uwsgi-core=uwsgi-core /usr/bin/uwsgi_python311=uwsgi-plugin-python3 \
	    chromium=chromium chromedriver=chromium-driver

# -------------------------------------------------------------------------------------- to run

.PHONY: servers
servers: .venv/.ready debian-packages  ## real servers until Ctrl-C; alone it lists them  [NAMES="redis mongodb"]
	@.venv/bin/python -m tests.servers $(NAMES)

.PHONY: demo
demo: .venv/.ready  ## a real Celery job on SQLite, no server needed  [URL=kv+... BROKER=... WEB=1]
	@.venv/bin/python -m examples.wordcount $(url) $(broker) $(if $(WEB),--web)

.PHONY: bench
bench: $(bench_env)/.ready  ## side by side with Celery's own backends  [ARGS=...]
	@$(bench_env)/bin/python -m benchmarks $(ARGS)

# ------------------------------------------------------------------------------------- to prove

# The output of each suite comes in one piece when it ends; one that fails stops no other.
# Waiting, servers and real workers depend on a machine that is not overloaded: the few tests that
# fail beside other suites run once more, alone, and count by that.
.PHONY: test
test: .venv/.ready downloads  ## all that proves the project; may install Debian packages, needs root for it
	@rm -rf .cache/left
	@$(MAKE) --no-print-directory $(side_by_side) $(suites)
	@tools/run_suite --again

.PHONY: test-fast
test-fast: .venv/.ready  ## to run while working: no root, no servers, under two minutes
	.venv/bin/python $(pytest) --store-quick --numprocesses=2 --dist=loadfile $(fast_tests)

.PHONY: test-all
test-all:  ## `test`, the slow tests and the whole of Celery's own suite
	@$(MAKE) --no-print-directory test FULL=1
	@$(MAKE) --no-print-directory celery-suite

.PHONY: downloads
downloads: .venv/.ready debian-packages
	@.venv/bin/python -m tests.servers --download

.PHONY: test-adapters
test-adapters: downloads
	$(run) .venv/bin/python $(pytest) \
	    $(filter-out adapters/redis/ $(java_stores),$(dir $(wildcard adapters/*/tests)))

.PHONY: test-redis
test-redis: downloads
	$(run) .venv/bin/python $(pytest) adapters/redis

.PHONY: test-java
test-java: downloads
	$(run) .venv/bin/python $(pytest) $(java_stores)

.PHONY: test-e2e
test-e2e: downloads
	$(run) .venv/bin/python $(pytest) $(e2e_tests)

.PHONY: test-system
test-system: downloads .venv-suite/.ready
	$(run) .venv/bin/python $(pytest) $(system_tests)

.PHONY: test-core
test-core: downloads
	$(run) .venv/bin/python $(pytest) tests $(addprefix --ignore=,$(e2e_tests) $(system_tests) $(suite_tests))

.PHONY: test-suite
test-suite: downloads
	$(run) .venv/bin/python $(pytest) $(suite_tests)

.PHONY: test-celery56
test-celery56: .venv-celery56/.ready downloads
	@$(if $(backend_tests),,echo "test: there is no tests/backend yet: nothing run with Celery 5.6")
	$(if $(backend_tests),$(run) .venv-celery56/bin/python $(pytest) $(backend_tests))

.PHONY: test-elasticsearch9
test-elasticsearch9: .venv-elasticsearch9/.ready downloads
	$(run) .venv-elasticsearch9/bin/python $(pytest) $(store_quick) adapters/elasticsearch/tests

.PHONY: test-redis-lowest
test-redis-lowest: .venv-redis-lowest/.ready downloads
	$(run) .venv-redis-lowest/bin/python $(pytest) $(store_quick) $(redis_lowest)

.PHONY: test-pythons
test-pythons: downloads
	@for python in $(PYTHONS); do \
	    if $$python -c pass 2>/dev/null; then $(MAKE) --no-print-directory test-$$python; \
	    else echo "test: no $$python on PATH that runs: left out"; fi; \
	done

test-python%: .venv-python%/.ready
	@$(if $(portable_tests),,echo "test: there is no tests/contract yet: nothing run with Python $*")
	$(if $(portable_tests),$(run) .venv-python$*/bin/python $(pytest) $(portable_tests))

.PHONY: celery-suite
celery-suite: .venv-suite/.ready debian-packages  ## Celery's own integration suite, ten minutes  [URL=kv+...]
	@.venv-suite/bin/python -m tests.celery_suite $(url)

.PHONY: soak
soak: .venv/.ready  ## the conformance suite 50 times in a row: no check may fail by chance  [ARGS="10 --on redis"]
	@.venv/bin/python -m tools.soak $(ARGS)

.PHONY: lint
lint: .venv/.ready  ## style, types and the direction of imports
	.venv/bin/ruff check $(sources)
	.venv/bin/ruff format --check $(sources)
	.venv/bin/mypy $(typed)
	.venv/bin/lint-imports
	.venv/bin/python tools/generated.py --check
	.venv/bin/python tools/rules.py --check
	.venv/bin/python tools/versions.py --check

# ------------------------------------------------------------------------------------- to keep

.PHONY: format
format: .venv/.ready  ## lay the source out, and mend what ruff can mend safely
	.venv/bin/ruff format $(sources)
	.venv/bin/ruff check --fix $(sources)

.PHONY: docs
docs: .venv/.ready  ## write the generated pages and plots of docs/ and the adapters' versions again
	.venv/bin/python tools/generated.py
	.venv/bin/python tools/rules.py
	.venv/bin/python tools/versions.py

.PHONY: site
site: .venv-site/.ready  ## the documentation as a site, in site/; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 .venv-site/bin/mkdocs build --clean

# A second build has the same bytes: the time in the archives is the commit's.
.PHONY: dist
dist: .venv/.ready  ## wheels and source distributions of all, checked, in dist/
	rm -rf dist
	@for project in . $(dir $(wildcard adapters/*/pyproject.toml)); do \
	    SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .venv/bin/python -m build --no-isolation \
	        --outdir dist $$project >/dev/null; \
	done
	.venv/bin/twine check --strict dist/*

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
