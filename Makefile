# Everything that is needed is installed into ignored folders of this repository (target/, .envs/).
# What has to be there already: a Rust toolchain (see rust-version in Cargo.toml), a C compiler, cmake, Python 3.11 or newer.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo
ENV := scripts/python-env.sh
DEV := .envs/dev/bin

.PHONY: help
help: ## Show what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

.PHONY: build
build: ## Build every program (unoptimised)
	$(CARGO) build --locked --workspace --bins

.PHONY: demo
demo: ## Set up, build, and run the story of the sales example, a killed worker included
	$(ENV) crewai langgraph tools
	$(CARGO) build --locked -p mesh-cli -p mesh-test --bins
	python3 examples/sales/demo.py

.PHONY: test
test: test-rust test-chaos test-python test-interop ## Run every test; installs what they need into .envs/

.PHONY: test-rust
test-rust: build
	$(ENV) nats
	$(CARGO) test --locked --workspace

.PHONY: test-python
test-python:
	$(ENV) dev crewai langgraph
	$(DEV)/pytest -q sdk/python/tests

.PHONY: test-interop
test-interop: build node-modules
	$(ENV) a2a tools fastmcp dev
	$(CARGO) test --locked --manifest-path tests/interop/rust/Cargo.toml --target-dir target/interop-rust --no-run
	.envs/a2a/bin/python -m pytest -q tests/interop/a2a
	.envs/tools/bin/python -m pytest -q tests/interop/mcp
	$(ENV) crewai langgraph
	.envs/tools/bin/python -m pytest -q tests/interop/sales

NODE_PACKAGES := tests/interop/javascript tests/interop/mcp/node
.PHONY: node-modules
node-modules: $(NODE_PACKAGES:%=%/node_modules/.package-lock.json)

# npm writes this file last.
%/node_modules/.package-lock.json: %/package-lock.json
	$(ENV) node
	PATH="$(CURDIR)/.envs/node/bin:$$PATH" npm ci --prefix $*
	touch $@

.PHONY: conformance-mcp
conformance-mcp: build node-modules ## Write docs/conformance-mcp.md and the table of what does not pass through the gateway yet
	$(ENV) tools fastmcp
	.envs/tools/bin/python scripts/mcp-conformance.py --update

.PHONY: lint
lint: ## Check formatting, lints, spelling, licences
	$(ENV) dev
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path benches/peers/rust/Cargo.toml --check
	$(CARGO) fmt --manifest-path tests/interop/rust/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked -p mesh-fuzz --features libfuzzer -- -D warnings
	$(CARGO) clippy --locked --manifest-path tests/interop/rust/Cargo.toml --target-dir target/interop-rust --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	python3 scripts/check-dependencies.py
	python3 scripts/check-conformance.py
	$(DEV)/typos
	$(DEV)/ruff check sdk examples scripts tests benches
	$(DEV)/ruff format --check sdk examples scripts tests benches
	cd sdk/python && ../../$(DEV)/mypy

.PHONY: format
format: ## Format everything
	$(ENV) dev
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path benches/peers/rust/Cargo.toml
	$(CARGO) fmt --manifest-path tests/interop/rust/Cargo.toml
	$(DEV)/ruff format sdk examples scripts tests benches

SECONDS ?= 20
.PHONY: fuzz
fuzz: ## Feed every decoder with mutated input, SECONDS=20 each, two at a time; fails on a crash
	CARGO_PROFILE_DEV_OPT_LEVEL=1 RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/fuzz/instrument \
		$(CARGO) build --locked --workspace --features mesh-fuzz/libfuzzer --bin fuzz
	python3 scripts/fuzz.py target/debug/fuzz --seconds $(SECONDS)

.PHONY: chaos
chaos: ## Kill, freeze and cut a mesh under load, 520 times, and read every client's transcript; about 20 minutes
	$(ENV) nats
	$(CARGO) build --locked -p mesh-cli -p mesh-test --bins
	MESH_CHAOS_KILLS=200 $(CARGO) test --locked -p mesh-log --test log killed -- --nocapture
	target/debug/chaos --report docs/reliability.md

.PHONY: outage
outage: ## Break one of three targets behind the gateway in every way under load; about two minutes
	$(CARGO) build --locked -p mesh-cli -p mesh-test --bins
	target/debug/outage --report docs/reliability.md

.PHONY: test-chaos
test-chaos: build
	$(ENV) nats
	target/debug/chaos --setup sqlite --seed 1 --faults 12 --pace 700 --clients 6 --patience 60
	target/debug/chaos --setup jetstream --seed 2 --faults 12 --pace 700 --clients 6 --patience 60

.PHONY: bench
bench: ## Measure in a release build, beside other A2A servers; prints the tables of docs/benchmarks.md (BENCH=options of benches/run.py)
	$(ENV) a2a tools nats
	$(CARGO) build --locked --release -p mesh-cli -p mesh-test --bins
	-$(CARGO) build --locked --release --manifest-path benches/peers/rust/Cargo.toml --target-dir target/bench-peers
	python3 benches/run.py $(BENCH)

.PHONY: verify
verify: lint test demo ## Everything that has to hold before a change goes in

.PHONY: audit
audit: ## Check dependencies against the advisory database (needs cargo-deny 0.16 and the network)
	$(CARGO) deny check
