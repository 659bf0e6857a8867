# Andon's tasks. `make help` lists them.

GO      ?= go
MODULES := shared agent broker collector deploy/lab
# .ONESHELL is not used: each line stands alone, so a failure names its line.
SHELL   := /bin/bash

# The version is the tag, or the commit where there is no tag.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The time of its commit: a cell's clock that is behind it was never set.
BUILT   := $(shell git log -1 --format=%cI 2>/dev/null)
LDFLAGS := -s -w -X andon.internal/shared/ops.version=$(VERSION) -X andon.internal/shared/ops.built=$(BUILT)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'

# Tools, built once into .tools at these versions.
LINT_VERSION := v2.15.0
LINT         := .tools/golangci-lint-$(LINT_VERSION)
VULN_VERSION := v1.9.0
VULN         := .tools/govulncheck-$(VULN_VERSION)

# A file in C-MAPSS form that a fourth cell of `make demo` replays; none without it.
CMAPSS ?=

.PHONY: help
help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## A factory on this machine: PostgreSQL, broker, collector, twelve dynos in three cells (CMAPSS=FILE adds an engine cell)
	@bin/andon-lab up $(if $(CMAPSS),--replay '$(CMAPSS)')

.PHONY: test
test: prerequisites ## The tests, with real servers, as root; with the seconds of each package
	@deploy/scripts/test

.PHONY: test-deep
test-deep: prerequisites build ## The long ones: all tests with the race detector, fault runs with five seeds, attacks on the broker, an agent looked at for an hour, fuzzing
	@deploy/scripts/test-deep

.PHONY: check
check: $(LINT) ## Format, vet, lint, import rules, and that each module builds and is tidy alone
	@deploy/scripts/check $(LINT)

.PHONY: vuln
vuln: $(VULN) ## Known vulnerabilities in what each module calls; asks https://vuln.go.dev, or what GOVULNDB names
	@deploy/scripts/vuln $(VULN)

.PHONY: build
build: ## Static binaries in bin/
	@mkdir -p bin
	@$(BUILD) -o bin/ ./agent/cmd/andon-agent ./broker/cmd/andon-broker ./collector/cmd/andon-collector ./deploy/lab/cmd/andon-lab

.PHONY: chaos
chaos: prerequisites build ## Break everything, as root: the rules broken on purpose must be found, then every fault for three seeds must find nothing (about half an hour)
	@deploy/scripts/chaos

.PHONY: power-cuts
power-cuts: prerequisites build ## Cut the power of cells and database 900 times, as root (about twenty minutes)
	@deploy/scripts/power-cuts

.PHONY: fuzz
fuzz: ## Fuzz every decoder (FUZZTIME=20s each)
	@deploy/scripts/fuzz

.PHONY: bench
bench: build ## Measure, as root (more than an hour): the data path, alarms, a backlog, the buffer, memory, flash, jitter, attacks on the broker, then the benchmarks of each package
	@bin/andon-lab bench path
	@bin/andon-lab bench alarms
	@bin/andon-lab bench drain
	@bin/andon-lab bench buffer
	@bin/andon-lab bench memory
	@bin/andon-lab bench flash
	@bin/andon-lab bench jitter
	@bin/andon-lab bench attacks
	@for m in $(MODULES); do $(GO) test -run '^$$' -bench . -benchmem ./$$m/... || exit 1; done

.PHONY: screenshots
screenshots: build ## Take the pictures in docs/images anew, from a factory on this machine (a quarter of an hour; needs Chromium)
	@bin/andon-lab screenshots docs/images

.PHONY: prerequisites
prerequisites: ## Install what tests need (CONTRIBUTING.md lists it), or name what is missing
	@deploy/scripts/prerequisites

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf bin .tools shared/sparkplug/testdata/npm/.installed-*

$(LINT):
	@mkdir -p .tools
	@echo "building golangci-lint $(LINT_VERSION) (once)"
	@GOBIN=$(CURDIR)/.tools GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv .tools/golangci-lint $@

$(VULN):
	@mkdir -p .tools
	@echo "building govulncheck $(VULN_VERSION) (once)"
	@GOBIN=$(CURDIR)/.tools GOFLAGS= $(GO) install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	@mv .tools/govulncheck $@
