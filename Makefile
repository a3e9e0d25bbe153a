# Sagebrush: every target is one line in `make`.
SHELL := /bin/bash
GO ?= go
PACKAGES := ./...

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/sagebrush
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/sagebrush ./cmd/sagebrush

.PHONY: demo
demo: ## run a batch transform of real data from start to end
	$(GO) run ./cmd/sagebrush demo

.PHONY: check
check: fmt-check vet lint unit ## format, vet, lint and unit tests

.PHONY: fmt-check
fmt-check:
	@bad=$$(gofmt -l cmd internal test tools); if [ -n "$$bad" ]; then echo "not formatted: $$bad"; exit 1; fi

.PHONY: fmt
fmt: ## format the code
	gofmt -w cmd internal test tools

.PHONY: vet
vet:
	$(GO) vet $(PACKAGES)

.PHONY: lint
lint: ## staticcheck
	@mkdir -p bin; $(GO) build -C tools -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck $(PACKAGES)

.PHONY: vuln
vuln: ## known vulnerabilities in what the binary is made of (VULNDB: a version of golang.org/x/vulndb, or a URL)
	tools/vuln $(or $(VULNDB),latest) $(PACKAGES)

.PHONY: unit
unit: ## unit tests
	$(GO) test -short $(PACKAGES)

.PHONY: test
test: ## all tests that need nothing but Go, with the race detector
	$(GO) test -race -timeout 20m $(PACKAGES)
	cd tools && $(GO) test ./...
	@test/notrun

.PHONY: clients
clients: build ## real SDKs and the AWS CLI against the real binary (needs python3-boto3, awscli, npm)
	test/clients/run bin/sagebrush
	SAGEBRUSH_DOCS_CLIENTS=1 $(GO) test -count=1 ./test/docs

.PHONY: containers
containers: build ## real containers: the Docker driver, vectors and jobs over real models (needs a Docker engine, debootstrap and root)
	SAGEBRUSH_TEST_DOCKER=1 $(GO) test -race -count=1 -timeout 30m ./internal/driver/docker ./test/containers
	test/vectors/build
	SAGEBRUSH_TEST_DOCKER=1 $(GO) test -short -count=1 -timeout 20m ./test/vectors
	test/containers/jobs bin/sagebrush
	test/containers/fence bin/sagebrush
	$(GO) test -count=1 -run 'TestPages/pages/bring-your-own-container' ./test/docs

.PHONY: kubernetes
kubernetes: build ## pods of a real cluster: the Kubernetes driver, jobs and a drained node (needs root, python3-boto3 and ../shared/kubernetes)
	test/kubernetes/run bin/sagebrush

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (10s)
	test/fuzz $(or $(FUZZTIME),10s)

.PHONY: fuzz-long
fuzz-long: ## each fuzz target until it has had ten minutes of CPU time, kept in docs/fuzzing.md
	test/fuzz-long

.PHONY: bench
bench: build ## the figures of docs/performance.md (needs wrk; nginx and haproxy too, to compare with)
	test/bench/run bin/sagebrush

.PHONY: generate
generate: ## the generated part of internal/wire
	$(GO) generate ./internal/wire

.PHONY: darwin
darwin: ## check that it builds for macOS
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/sagebrush

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
