# Every target works on a clone with Go; interop, ui and full need what .ci/install puts in place.
GO ?= go
GOLANGCI := $(shell $(GO) env GOPATH)/bin/golangci-lint
FUZZTIME ?= 5s
CYCLES ?= 5

.PHONY: help check leaks generated test race fuzz interop ui page bench bench-ctxguard full demo

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

check: leaks ## formatting, vet, leaks, lint, cross-builds
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/golangci-lint $(GOLANGCI) run ./... # a cache that trees share reports paths of another tree
	GOOS=windows GOARCH=amd64 $(GO) build -o /dev/null ./cmd/millrace
	GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/millrace
	GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/millrace

leaks: ## millrace vet over this repository
	$(GO) build -o .cache/millrace ./cmd/millrace
	.cache/millrace vet ./...
	cd lint && $(GO) test ./plugin

generated: ## what go generate writes is what is committed
	.ci/generated

test: ## all unit tests
	$(GO) test ./...

race: ## all unit tests under the race detector
	$(GO) test -race -timeout 15m ./...

fuzz: ## every fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

interop: ## other people's stacks against ours
	.ci/interop

ui: ## the page: install, build, compare with what is committed, test in a real browser
	.ci/ui

page: ## docs/page.png anew, from the demo
	.ci/page

bench: ## figures with the peers' beside them
	.ci/bench

bench-ctxguard: ## what the leak analyzers find in other people's corpora, and what ctxguard costs
	.ci/bench-ctxguard

demo: ## thirty seconds of the demo without a browser
	$(GO) run ./cmd/millrace demo --headless --duration 30s --json

full: ## the long runs: 100 kill cycles, a million S7 plans, an hour of fuzzing, a real full disk
	.ci/full
