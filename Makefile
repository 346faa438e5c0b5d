# The commands of the project. `make` alone lists them.

# GNU make echoes recipes; the stages speak for themselves.
.SILENT:
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

export CARGO_TERM_COLOR ?= auto

.PHONY: help run test quick nightly bench fmt

help: ## what there is to call
	grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

run: ## start the server with embedded defaults on 127.0.0.1:8080
	cargo run --quiet --bin mainstay -- serve

test: ## everything that must pass: servers installed, format, lints, docs, all tests
	tools/stages.sh install format lint build tests doctests docs

quick: ## the inner loop: lints and the tests that start no server
	tools/stages.sh lint quick-tests

nightly: ## what takes longer: a million seeds, all interleavings, Miri on the breaker, fuzzing, a thousand kills, half an hour of faults, 400,000 waiting uploads, benchmarks
	tools/stages.sh install seeds loom miri fuzz crash soak scale bench

bench: ## the figures of the README, measured on this machine
	tools/stages.sh install bench

fmt: ## formats the code
	cargo fmt --all
