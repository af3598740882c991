# uvtep: a userspace VXLAN switch. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
FUZZTIME ?= 20s
LAB_ARGS ?=
ROUNDS   ?= 5
SLOWER   ?= 20

# The stages of the data path that have no system call in them, many short runs
# each. One thread: a second one has nothing to do.
STAGES = $(GO) test -run '^$$' -cpu 1 -count 8 -benchtime 200ms \
	-bench '^Benchmark(Out|In|FDBLookup|Split|Merge|Sum)$$' ./bench ./encap/offload ./encap/ether
BENCHSTAT = $(GO) tool benchstat -table pkg -ignore .config
# Where figures come from, as benchmark files say it.
ORIGIN = echo "kernel: $$(uname -r)"; echo "go: $$($(GO) env GOVERSION)"

# End-to-end tests need root for network namespaces. They fail without it
# instead of being skipped.
export UVTEP_LAB = require

.PHONY: help build lab test test-full check race fuzz clean
.PHONY: bench bench-lab bench-scale bench-charts scale-charts bench-check bench-baseline

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/uvtep, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/uvtep ./cmd/uvtep

lab: build ## the main job: three hosts as namespaces, every pair of containers tried (root; LAB_ARGS='--block 1-2')
	bin/uvtep lab $(LAB_ARGS)

test: ## all tests that need Go and root alone, under 10 minutes
	$(GO) test -timeout 10m ./...
	cd bench/promql && $(GO) test -count 1 ./... # what it reads is outside of its module, where no cache looks

test-full: ## the tests that need programs from Debian too; installs them
	command -v tcpdump >/dev/null && command -v bridge >/dev/null && command -v tshark >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq tcpdump iproute2 tshark; }
	$(GO) test -timeout 25m -tags full -run 'Full' ./bench/...

check: ## formatting, vet, staticcheck, tidy modules
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt these:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags full ./bench/...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./encap/...
	GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/uvtep
	for m in bench/flannel bench/promql; do (cd $$m && $(GO) vet ./... && $(GO) mod tidy -diff) || exit 1; done

race: ## the tests under the race detector (needs a C compiler)
	$(GO) test -race -timeout 20m ./...

bench: ## speed, once: ns and allocations a frame, lookups, and the lab beside the kernel's vxlan (root)
	$(GO) test -run '^$$' -timeout 30m -bench . ./bench

bench-lab: ## uvtep beside the kernel's vxlan, ROUNDS times (5), into docs/performance/lab.txt (root; a quarter of an hour)
	@mkdir -p bin
	set -o pipefail; { echo "commit: $(VERSION)"; $(ORIGIN); $(GO) test -run '^$$' -timeout 60m -bench Lab -benchtime 1x -count $(ROUNDS) ./bench; } | tee bin/lab.txt
	mv bin/lab.txt docs/performance/lab.txt

bench-charts: ## charts and tables of docs/performance.md and docs/scale.md, from the results beside them
	$(GO) run ./bench/chart -charts docs/performance -page docs/performance.md docs/performance/lab.txt
	$(GO) run ./bench/chart -scale -charts docs/scale -page docs/scale.md docs/scale/scale.txt

bench-scale: ## agents in networks of up to 10,000 hosts and a million endpoints, and many agents on one etcd, into docs/scale (root; twenty minutes)
	@mkdir -p bin docs/scale
	set -o pipefail; { echo "commit: $(VERSION)"; $(ORIGIN); $(GO) test -run '^$$' -timeout 60m -bench '^Benchmark(Scale|Fleet)$$' -benchtime 1x ./bench && \
		$(GO) test -run '^$$' -timeout 20m -bench '^BenchmarkScale' ./etcdsync; } | tee bin/scale.txt
	mv bin/scale.txt docs/scale/scale.txt

bench-check: ## fails when a stage is SLOWER per cent (20) slower than bench/baseline.txt or allocates; measures the machine too
	@mkdir -p bin
	$(STAGES) >bin/stages.txt
	$(BENCHSTAT) -filter '.unit:sec/op' bench/baseline.txt bin/stages.txt
	@$(BENCHSTAT) -format csv bench/baseline.txt bin/stages.txt 2>/dev/null | $(GO) run ./bench/check -slower $(SLOWER)

bench-baseline: ## measures bench/baseline.txt anew, in two passes: a promise, so say why in the commit
	@mkdir -p bin
	set -o pipefail; { $(ORIGIN); $(STAGES) && $(STAGES); } | tee bin/stages.txt
	mv bin/stages.txt bench/baseline.txt

fuzz: ## every fuzz target for FUZZTIME (default 20s) each
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p; \
		done; done

clean: ## remove what the build made
	rm -rf bin
