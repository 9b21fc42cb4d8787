# muster: build, check and test. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The build asks nothing of git but an optional version string, so a tarball of the source builds too.
export GOFLAGS := -buildvcs=false
TOOLS := bin/tools

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Tools are built once, from the versions that tools/lint/go.mod pins.
define tool
$(TOOLS)/$(notdir $(1)): tools/lint/go.mod tools/lint/go.sum
	cd tools/lint && go build -trimpath -o $(CURDIR)/$$@ $(1)
	@touch $$@
endef
$(eval $(call tool,github.com/bufbuild/buf/cmd/buf))
$(eval $(call tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint))
$(eval $(call tool,mvdan.cc/gofumpt))

.PHONY: proto
proto: $(TOOLS)/buf ## Generate the Go code of proto/.
	cd proto && $(CURDIR)/$(TOOLS)/buf format -w && $(CURDIR)/$(TOOLS)/buf generate

.PHONY: proto-check
proto-check: $(TOOLS)/buf ## Check that proto/ is formatted, sound, compatible and freshly generated.
	tools/proto-check $(TOOLS)/buf
