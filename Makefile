# `make demo` and `make test` are all a fresh machine needs; every target makes its environment on first use.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
BUF_VERSION := 1.75.0
BUF := $(VENV)/buf/node_modules/.bin/buf
MILVUS_VERSION := 2.3.5
MILVUS := $(VENV)/milvus/bin/milvus-server
AXE_VERSION := 4.14.1
AXE := $(VENV)/axe/node_modules/axe-core/axe.min.js
READY := $(VENV)/.ready
WORKERS ?= 2
SOURCES := edge server train simulation reid demo benchmarks tests

.PHONY: help demo test test-all check bench protos format clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/' | sort

$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed; set PYTHON=… to another Python 3.11+" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(BUF):
	@command -v npm >/dev/null || { echo "npm is needed: Buf, which checks the protos, is installed from it" >&2; exit 1; }
	npm install --silent --no-save --prefix $(VENV)/buf @bufbuild/buf@$(BUF_VERSION)

$(MILVUS):
	$(PYTHON) -m venv $(VENV)/milvus
	$(VENV)/milvus/bin/python -m pip install --quiet milvus==$(MILVUS_VERSION) \
	|| echo "milvus $(MILVUS_VERSION) is not to be had on this platform: its tests will be skipped" >&2

.PHONY: postgresql
postgresql:  ## install PostgreSQL for its tests where apt-get and root are at hand; without it they are skipped
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null; } \
	|| echo "PostgreSQL is not installed (Debian: apt-get install postgresql): its tests will be skipped" >&2

$(AXE):
	@command -v npm >/dev/null && npm install --silent --no-save --prefix $(VENV)/axe axe-core@$(AXE_VERSION) \
	|| echo "axe-core $(AXE_VERSION) is not to be had (it needs npm): accessibility tests will be skipped" >&2

.PHONY: chromium
chromium:  ## install Chromium for the tests of the console where apt-get and root are at hand; without it they are skipped
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	|| echo "Chromium is not installed (Debian: apt-get install chromium): tests in a browser will be skipped" >&2

demo: $(READY)  ## a simulated site and one refresh of its network, six minutes; OUT=folder keeps the results, QUICK=1 leaves the refresh out, KEEP=1 goes on for the console
	$(BIN)/python -m demo $(if $(OUT),--out $(OUT)) $(if $(QUICK),--no-refresh) $(if $(KEEP),--keep)

# Files in the order of folders: after tests in a browser, a process has an event loop that other tests trip over.
test: $(READY) postgresql chromium | $(MILVUS) $(AXE)  ## all tests that need no GPU, in WORKERS=2 processes
	$(BIN)/python -m pytest -m 'not gpu' -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15

check: lint types layers protos-check test  ## everything CI runs

.PHONY: lint types layers protos-check
lint: $(READY)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
types: $(READY)
	$(BIN)/mypy
layers: $(READY)
	$(BIN)/lint-imports
protos-check: $(READY) $(BUF)
	PATH=$(CURDIR)/$(BIN):$$PATH BUF=$(BUF) bash protos/check.sh

protos: $(READY)  ## generate the Python code of protos/*.proto
	PATH=$(CURDIR)/$(BIN):$$PATH bash protos/generate.sh .

bench: $(READY)  ## every benchmark in its quick form
	@for f in benchmarks/*.py; do n=$$(basename $$f .py); case $$n in _*|harness) ;; \
	*) echo "== $$n"; $(BIN)/python -m benchmarks.$$n --quick || exit 1;; esac; done

format: $(READY)  ## ruff format and safe fixes
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:  ## remove the environment and what was built
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
