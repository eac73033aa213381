# The names people type. Everything with logic is in xtask; `cargo xtask help` lists it.
.DEFAULT_GOAL := help
.PHONY: help run test check bench conformance fuzz lab sim soak setup hooks fix docs pictures precommit compiler
STEPS ?=

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

run: compiler ## a canvas to draw on and a gateway to kill, on http://127.0.0.1:8000; PORT=9000 changes the port
	cargo xtask run

test: compiler ## everything that must hold, from setup to end to end; STEPS="--only unit" chooses
	cargo xtask test $(STEPS)

check: setup ## format, lints, docs, tidy, spelling, links, licences
	cargo xtask check $(STEPS)

bench: setup ## speed and memory beside peers, in one run
	cargo xtask bench $(STEPS)

conformance: setup ## RFC 6455 in full, and published clients through every feature
	cargo xtask conformance $(STEPS)

fuzz: setup ## minutes of random bytes for every decoder
	cargo xtask fuzz $(STEPS)

lab: setup ## kills of real gateways under four kinds of clients, the whole scenario
	cargo xtask lab $(STEPS)

sim: compiler ## ten thousand seeds of clients and gateway in virtual time
	cargo xtask sim $(STEPS)

soak: setup ## kill cycles of the log and of the gateway, the long forms
	cargo xtask soak $(STEPS)

setup: compiler ## installs what is missing
	cargo xtask setup

hooks: ## turns the commit hook on for this clone
	git config core.hooksPath .githooks

fix: setup ## formats Rust and TOML, mends spelling
	cargo xtask fix

docs: setup ## the reference of every crate, and links between documents
	cargo xtask check --only docs,links

pictures: setup ## the pictures of the documents, taken anew from the real page
	cargo xtask pictures

precommit: compiler
	cargo xtask precommit

# Nothing can be built without one, xtask included; a fresh Debian has none.
compiler:
	@command -v cc >/dev/null || (apt-get update && apt-get install -y build-essential)
