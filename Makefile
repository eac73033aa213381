# The targets to type. Everything with logic is in xtask; `cargo xtask help` lists it.
.DEFAULT_GOAL := help
.PHONY: help run test check bench conformance fuzz lab sim soak mutants setup hooks fix api docs pictures portable precommit compiler machine
STEPS ?=
RUST := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

run: compiler ## start the demo on http://127.0.0.1:8000; PORT=9000 changes the port
	@cargo build --locked --package xtask
	cargo xtask run

test: compiler ## all checks and tests; STEPS="--only unit" runs one step
	cargo xtask test $(STEPS)

check: setup ## check format, lints, docs, spelling, links and licences
	cargo xtask check $(STEPS)

bench: setup ## measure speed and memory next to other servers
	cargo xtask bench $(STEPS)

conformance: setup ## run the RFC 6455 suite, and third-party clients through every feature
	cargo xtask conformance $(STEPS)

fuzz: setup ## fuzz every decoder
	cargo xtask fuzz $(STEPS)

lab: setup ## the long runs of the lab: gateways under four kinds of clients, and TrueNAS clients
	cargo xtask lab $(STEPS)

sim: compiler ## simulate 10,000 seeds of each world in virtual time: clients and gateway, calls of TrueNAS clients
	cargo xtask sim $(STEPS)

mutants: compiler ## find changes of a crate that its tests do not notice; CRATE=steadfast-core
	cargo xtask mutants $(CRATE)

soak: setup ## run the long kill cycles of the log and of the gateway
	cargo xtask soak $(STEPS)

setup: compiler ## install what is missing
	cargo xtask setup

hooks: ## install the commit hook in this clone
	git config core.hooksPath .githooks

fix: setup ## format Rust and TOML, fix spelling
	cargo xtask fix

api: compiler ## accept the public API of the client library: rewrite crates/*/api.txt
	cargo xtask api --accept

docs: setup ## build the reference of every crate, and check links between documents
	cargo xtask check --only docs,links

pictures: setup ## regenerate the pictures of the documents from the real page
	cargo xtask pictures

portable: compiler ## check the client library for Windows and macOS; needs rustup
	cargo xtask portable

precommit: compiler
	cargo xtask precommit

# Says what is missing before anything is compiled.
machine:
	@[ "$$(uname -s)" = Linux ] || { echo "unsupported operating system $$(uname -s): Steadfast runs on Linux; use a Linux machine, a container or WSL 2" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "cargo not found: install Rust $(RUST) or later from https://rustup.rs" >&2; exit 1; }
	@have=$$(rustc --version | cut -d ' ' -f 2); printf '%s\n' "$(RUST)" "$$have" | sort -V -C \
		|| { echo "unsupported Rust $$have: $(RUST) or later is needed; run: rustup update" >&2; exit 1; }

# Everything needs a C compiler, xtask included; a fresh Debian has none.
compiler: machine
	@command -v cc >/dev/null || { command -v apt-get >/dev/null && apt-get update && apt-get install -y build-essential; } \
		|| { echo "C compiler not found: install one, for example the package gcc" >&2; exit 1; }
