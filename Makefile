# muster: build, check, test and install. `make` alone lists the targets.
#
# Whatever a target needs it makes first, so a fresh clone on a machine with Go
# and root can start with any of them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The build asks nothing of git but a version string, so a tarball of the source builds too, also inside another repository.
export GOFLAGS := -buildvcs=false
VERSION := $(shell [ -e .git ] && git describe --tags --always --dirty 2>/dev/null || echo unreleased)
MODULE := github.com/muster/muster
PREFIX ?= /usr/local
DESTDIR ?=
UNITDIR ?= /etc/systemd/system

TOOLS := bin/tools
RUNTIME := bin/containerd bin/containerd-shim-runc-v2 bin/runc bin/muster-init
# The packages whose tests run real nodes. They run last and one after the other.
REAL := ^$(MODULE)/integration/\(pack\|nodes\|demo\)\b

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- Build -----------------------------------------------------------------------------------------------------------

.PHONY: build
build: bin/muster $(RUNTIME) ## Build muster and the container runtime it manages into bin/.

# Go knows best what is up to date, so it is always asked.
.PHONY: bin/muster
bin/muster:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cli/muster

# The init of containers that ask for one: in each of them, so it is small.
.PHONY: bin/muster-init
bin/muster-init:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ ./worker/init

RUNTIME_MODULE := tools/runtime/go.mod tools/runtime/go.sum
CONTAINERD := github.com/containerd/containerd/v2/cmd
# What muster does not use of containerd, it does not carry: the memory of an idle node is mostly this.
CONTAINERD_TAGS := no_cri no_btrfs no_zfs no_devmapper no_tracing no_rdt urfave_cli_no_docs osusergo netgo static_build

bin/containerd: $(RUNTIME_MODULE)
	cd tools/runtime && CGO_ENABLED=0 go build -trimpath -tags '$(CONTAINERD_TAGS)' -ldflags '-s -w' \
		-o $(CURDIR)/$@ $(CONTAINERD)/containerd
	@touch $@

bin/containerd-shim-runc-v2: $(RUNTIME_MODULE)
	cd tools/runtime && CGO_ENABLED=0 go build -trimpath -tags '$(CONTAINERD_TAGS) no_grpc' -ldflags '-s -w' \
		-o $(CURDIR)/$@ $(CONTAINERD)/containerd-shim-runc-v2
	@touch $@

# Static, so that it starts quickly and runs where libseccomp is not installed.
bin/runc: $(RUNTIME_MODULE) | setup
	cd tools/runtime && CGO_ENABLED=1 go build -trimpath -tags 'seccomp urfave_cli_no_docs osusergo netgo' \
		-ldflags '-s -w -linkmode external -extldflags -static' -o $(CURDIR)/$@ github.com/opencontainers/runc
	@touch $@

.PHONY: setup
setup: ## Install the system packages that building, running and testing need.
	@tools/setup

.PHONY: clean
clean: ## Remove everything that was built.
	rm -rf bin .cache coverage.out

# --- Source ----------------------------------------------------------------------------------------------------------

# Tools are built once, from the versions that tools/lint/go.mod pins.
define tool
$(TOOLS)/$(notdir $(1)): tools/lint/go.mod tools/lint/go.sum
	cd tools/lint && go build -trimpath -ldflags '-s -w' -o $(CURDIR)/$$@ $(1)
	@touch $$@
endef
$(eval $(call tool,github.com/bufbuild/buf/cmd/buf))
$(eval $(call tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint))
$(eval $(call tool,golang.org/x/tools/cmd/deadcode))
$(eval $(call tool,mvdan.cc/gofumpt))

.PHONY: proto
proto: $(TOOLS)/buf ## Generate the Go code of proto/.
	cd proto && $(CURDIR)/$(TOOLS)/buf format -w && $(CURDIR)/$(TOOLS)/buf generate

.PHONY: proto-check
proto-check: $(TOOLS)/buf ## Check that proto/ is formatted, sound, compatible and freshly generated.
	tools/proto-check $(TOOLS)/buf

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## Format the Go code.
	$(TOOLS)/golangci-lint fmt ./...

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/deadcode ## Check the Go code: vet, linters, format, dead code.
	go vet ./...
	$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
	@dead=$$($(TOOLS)/deadcode -test ./...); [ -z "$$dead" ] || { echo "$$dead"; echo "lint: nothing uses these" >&2; exit 1; }

.PHONY: figures
figures: ## Print how large files, functions, types and packages are, and how much of it is tests.
	@go run ./tools/figures

# --- Test ------------------------------------------------------------------------------------------------------------

# Quick first, slowest last.
.PHONY: test
test: setup proto-check lint race root-test ## Check everything: source, unit tests, then real nodes.

# What the machine would have to be prepared for skips itself under -short; what is skipped and why: go test -short -v.
.PHONY: unit
unit: ## Run the unit tests that need nothing but Go: no root, no package, no container runtime.
	go test -short $$(go list ./... | grep -v '$(REAL)')

# The tests of a single package's work with the kernel or containerd are among these, and skip themselves without root.
.PHONY: race
race: $(RUNTIME) ## Run all unit tests with the race detector, in random order.
	go test -race -shuffle=on -timeout 20m $$(go list ./... | grep -v '$(REAL)')

# One package at a time: real nodes share one machine, and a starved node looks like a dead one.
.PHONY: root-test
root-test: setup build ## Run the tests on real nodes: needs root, takes minutes.
	go test -count=1 -p 1 -timeout 15m $$(go list ./... | grep '$(REAL)')

# The short form, with as many requests as there is time for, is one of the tests on real nodes.
.PHONY: zero
zero: setup build ## Request a service REQUESTS (200000) times, and 2.5 times that kept alive, during each planned action: an hour and a half on two cores.
	MUSTER_REQUESTS=$(or $(REQUESTS),200000) go test -count=1 -timeout 3h -v -run TestPlannedActionsDropNothing ./integration/nodes/stories

# Five minutes of it are one of the tests on real nodes. MUSTER_SEED repeats a run's choices,
# MUSTER_HARM limits them to actions of such names.
.PHONY: soak
soak: setup build ## Harm five real nodes at random for DURATION (1h), and look after each time whether all is as it should be.
	MUSTER_SOAK=$(or $(DURATION),1h) go test -count=1 -timeout 48h -v ./integration/nodes/soak

.PHONY: fuzz
fuzz: ## Fuzz every parser for FUZZTIME (10s) each.
	@tools/fuzz $(or $(FUZZTIME),10s)

.PHONY: cover
cover: ## Report the coverage of the unit tests.
	go test -coverprofile=coverage.out ./...
	go tool cover -func=coverage.out | tail -1

.PHONY: bench
bench: setup build ## Measure the figures that the README quotes, on real nodes, and those of the data plane.
	go test -run '^$$' -bench . -benchtime 1x -p 1 -timeout 60m ./integration/bench/... ./ingress/...

.PHONY: demo
demo: setup build ## Start three nodes and a service on this machine, lose a node, watch it heal.
	integration/demo/up

.PHONY: demo-down
demo-down: ## Take the demo down and leave nothing behind.
	integration/demo/down

# --- Install ---------------------------------------------------------------------------------------------------------

.PHONY: install
install: build ## Install into PREFIX (/usr/local), with a systemd unit.
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/muster $(DESTDIR)$(UNITDIR)
	install -m 0755 bin/muster $(DESTDIR)$(PREFIX)/bin/muster
	install -m 0755 $(RUNTIME) $(DESTDIR)$(PREFIX)/lib/muster/
	sed 's|@PREFIX@|$(PREFIX)|g' tools/install/muster.service > $(DESTDIR)$(UNITDIR)/muster.service
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo "Installed. Start it with: systemctl enable --now muster"

.PHONY: uninstall
uninstall: ## Remove what install installed; /var/lib/muster stays.
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl disable --now muster 2>/dev/null || true; fi
	rm -f $(DESTDIR)$(UNITDIR)/muster.service $(DESTDIR)$(PREFIX)/bin/muster
	rm -rf $(DESTDIR)$(PREFIX)/lib/muster
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
