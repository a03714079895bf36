# Everything that is done with this project. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
CARGO ?= cargo
DENY_VERSION := 0.20.2
DENY_ROOT := $(CACHE)/ipam-tools/cargo-deny-$(DENY_VERSION)
CYCLONEDX_VERSION := 0.5.9
CYCLONEDX_ROOT := $(CACHE)/ipam-tools/cargo-cyclonedx-$(CYCLONEDX_VERSION)
# This version, as images and releases are tagged with it.
VERSION := v$(shell awk -F '"' '/^version = / { print $$2; exit }' Cargo.toml)
# The programs as `make test` builds them: one alone would have its dependencies built anew, with other features.
PROGRAMS := $(CARGO) build --quiet --workspace --bins
BIN := $(or $(CARGO_TARGET_DIR),target)/debug
# The user's kubectl, or else the one of the test bed; generated files are always made by the latter, whose release is pinned.
PINNED_KUBECTL = $(PROGRAMS) && $(BIN)/testbed binaries | grep '/kubectl$$'
KUBECTL ?= $(shell command -v kubectl || { $(PINNED_KUBECTL); })
KREW_VERSION := v0.5.0
KREW_ROOT := $(CACHE)/ipam-tools/krew-$(KREW_VERSION)
# The platforms that `make release` builds the plugin for, by their targets, and where the release will be found.
TARGETS ?= $(shell rustc -vV | awk '/^host:/ { print $$2 }')
REPOSITORY ?= https://localhost/ipam
# Replay of one seed, or a count of them, for `make simulate`.
SEEDS ?= 20000

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##### Try it

.PHONY: quickstart
quickstart: ## Control plane, controller, a pool, a claim and its address, on this machine
	@examples/quickstart.sh up

.PHONY: quickstart-stop
quickstart-stop: ## End what `make quickstart` left running
	@examples/quickstart.sh down

.PHONY: run
run: ## Run the controller against the current kubeconfig
	$(CARGO) run --bin ipam-controller -- --health-addr 127.0.0.1:9440 --diagnostics-address 127.0.0.1:8443 --webhook-port 0

# Whether the kinds of Cluster API are served that the examples are written in.
HAS_CLUSTER := kubectl get --raw /apis/cluster.x-k8s.io/v1beta2 >/dev/null 2>&1
HAS_ADDRESS_CLAIM := kubectl get --raw /apis/ipam.cluster.x-k8s.io/v1beta2 >/dev/null 2>&1

.PHONY: deploy-examples
deploy-examples: ## Apply the examples to the current context and wait for the addresses
	@if $(HAS_CLUSTER); then kubectl apply -f examples/cluster.yaml; \
	  else echo "Cluster API is not installed here: examples/cluster.yaml is left out"; fi
	kubectl apply -f examples/pool.yaml -f examples/claims.yaml
	@if $(HAS_ADDRESS_CLAIM); then kubectl apply -f examples/capi-claim.yaml; \
	  else echo "Cluster API's IPAddressClaim is not installed here: examples/capi-claim.yaml is left out"; fi
	kubectl wait --for=condition=Ready --timeout=60s -f examples/claims.yaml
	@if $(HAS_ADDRESS_CLAIM); then kubectl wait --for=condition=Ready --timeout=60s -f examples/capi-claim.yaml; fi
	kubectl get ippools,ipclaims,m3ipaddresses

.PHONY: delete-examples
delete-examples: ## Remove the examples from the current context and wait until they are gone
	kubectl delete --ignore-not-found --wait --timeout=60s -f examples/claims.yaml
	@if $(HAS_ADDRESS_CLAIM); then kubectl delete --ignore-not-found --wait --timeout=60s -f examples/capi-claim.yaml; fi
	kubectl delete --ignore-not-found --wait --timeout=60s -f examples/pool.yaml
	@if $(HAS_CLUSTER); then kubectl delete --ignore-not-found --wait --timeout=60s -f examples/cluster.yaml; fi

##### Install it

# IMG=registry/name:tag, NAMESPACE=name and COMPONENTS="network-policy …" (folders of config/components) change what is
# rendered.
export IMG NAMESPACE COMPONENTS

.PHONY: manifests
manifests: ## Print what `make deploy` applies: IMG=… NAMESPACE=… COMPONENTS="…"
	@KUBECTL="$(KUBECTL)" config/render.sh

.PHONY: deploy
deploy: ## Install on the current context and wait until pools can be made: IMG=…; again with another IMG upgrades
	@KUBECTL="$(KUBECTL)" config/deploy.sh

.PHONY: undeploy
undeploy: ## Take the controller away; refuses while pools, claims or addresses are there (FORCE=1 leaves these as they are)
	@KUBECTL="$(KUBECTL)" FORCE="$(FORCE)" config/undeploy.sh

.PHONY: image
image: sbom ## Build the image: IMG=…, ENGINE=docker|podman|buildah (the first that works)
	config/static.sh
	IMG="$(or $(IMG),localhost/ipam-controller:$(VERSION))" VERSION="$(VERSION)" ENGINE="$(ENGINE)" config/image.sh

.PHONY: reproducible
reproducible: ## Build the image's program twice, in two folders, and compare
	config/reproducible.sh

.PHONY: sbom
sbom: $(CYCLONEDX_ROOT)/bin/cargo-cyclonedx ## Write what the controller is built of to out/sbom.cdx.json
	CYCLONEDX="$<" config/sbom.sh

$(CYCLONEDX_ROOT)/bin/cargo-cyclonedx:
	@echo "building cargo-cyclonedx $(CYCLONEDX_VERSION) once, into $(CYCLONEDX_ROOT)"
	$(CARGO) install cargo-cyclonedx --locked --version $(CYCLONEDX_VERSION) --root $(CYCLONEDX_ROOT) --quiet

.PHONY: release-manifests
release-manifests: ## Write the files of a release for clusterctl into out/: IMG=…
	@[ -n "$$IMG" ] || { echo 'error: which image? IMG=registry/name:tag says it' >&2; exit 2; }
	@mkdir -p out
	KUBECTL="$(KUBECTL)" config/render.sh >out/ipam-components.yaml
	cp config/release/metadata.yaml out/metadata.yaml

.PHONY: release
release: release-archives release-manifests krew-manifest ## Write the files of a release into out/: IMG=… REPOSITORY=https://… TARGETS="…"

.PHONY: version
version: ## Print this version, as releases are tagged with it
	@echo "$(VERSION)"

.PHONY: release-archives
release-archives: ## Pack the plugin for TARGETS (this machine's by default) into out/, each with its sum
	$(foreach target,$(TARGETS),config/release/pack.sh $(target) $(VERSION) out &&) true

.PHONY: krew-manifest
krew-manifest: ## Write out/krew.yaml for the archives in out/: REPOSITORY=https://…
	config/release/krew.sh out $(VERSION) $(REPOSITORY) >out/krew.yaml.new
	mv out/krew.yaml.new out/krew.yaml

.PHONY: krew-check
krew-check: $(KREW_ROOT)/krew ## Install the plugin of out/ with a real krew, and run it through kubectl
	KUBECTL="$(KUBECTL)" config/release/krew_check.sh $(KREW_ROOT)/krew out $(VERSION)

$(KREW_ROOT)/krew:
	@echo "building krew $(KREW_VERSION) once, into $(KREW_ROOT)"
	GOBIN=$(KREW_ROOT) go install sigs.k8s.io/krew/cmd/krew@$(KREW_VERSION)

##### Work on it

.PHONY: test
test: ## Units, properties, simulation, and the real API server
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace

.PHONY: simulate
simulate: ## Long simulation: SEEDS=n, or SEED=n to replay one with a trace
	$(if $(SEED),SEED=$(SEED),SEEDS=$(SEEDS)) $(CARGO) test --release --test simulation -- --nocapture

.PHONY: mixed
mixed: ## Claims of both kinds under lagging watches on a real API server: SEEDS=20 CLAIMS=400 by default
	$(CARGO) build --bins
	MIXED_SEEDS=$(if $(filter command line,$(origin SEEDS)),$(SEEDS),20) MIXED_CLAIMS=$(if $(filter command line,$(origin CLAIMS)),$(CLAIMS),400) \
	  $(CARGO) test --test cluster -- mixed:: --nocapture

.PHONY: chaos
chaos: ## Faults on real control planes: every write x every answer, then SEEDS=200 in LANES=3; SEED=n runs one
	$(CARGO) build --bins
	CHAOS_LANES=$(or $(LANES),3) $(if $(SEED),CHAOS_SEED=$(SEED),CHAOS_SEEDS=$(if $(filter command line,$(origin SEEDS)),$(SEEDS),200)) \
	  $(CARGO) test --test cluster -- chaos:: --nocapture --test-threads 1

.PHONY: idle
idle: ## The tests on a real API server, each of which then lets IDLE=30 seconds pass, in which nothing may be written
	$(CARGO) build --bins
	IDLE=$(or $(IDLE),30) $(CARGO) test --test cluster -- --test-threads 14 --skip availability:: --skip chaos:: --skip conformance:: --skip mixed::
	IDLE=$(or $(IDLE),30) $(CARGO) test --test cluster -- availability::

.PHONY: explore
explore: ## Small worlds in every possible order, the large ones up to STATES=n states of each
	$(if $(STATES),STATES=$(STATES)) $(CARGO) test --release --test simulation explore -- --include-ignored --nocapture

.PHONY: ways
ways: ## WAYS=n ways by chance through each small world that is too large to be seen whole
	WAYS=$(or $(WAYS),1000000) $(CARGO) test --release --test simulation explore::no_way -- --nocapture

# Claims; ARGS may add --scenario S, --kind K, --pools N, --rounds N, --bare, --keep, --watched, --requests, --profile DIR or
# --peer 'COMMAND': docs/benchmarks.md.
CLAIMS ?= 2000

.PHONY: bench
bench: ## CLAIMS=n at once, the floor and the controller side by side; ARGS="--scenario crowded" and more
	$(CARGO) bench --bench burst -- --claims $(CLAIMS) $(ARGS)

.PHONY: bench-addr
bench-addr: ## Picking and giving back one address, and a whole claim in the ledger, by how many are held
	$(CARGO) bench --bench addr

.PHONY: bench-memory
bench-memory: ## What the ledger keeps of each claim and its address
	$(CARGO) bench --bench memory

.PHONY: test-alerts
test-alerts: ## Unit tests of the alert rules, with promtool: from PATH, or built once
	@config/components/monitoring/test.sh

.PHONY: pictures
pictures: ## Draw docs/pictures anew from real runs; needs tmux
	docs/pictures/make.sh

.PHONY: generate
generate: ## Write the generated files: the CRDs, the manifests in one file, and the references of both command lines
	$(PROGRAMS)
	$(BIN)/ipam-controller crds --into config/crd
	kubectl=$$($(PINNED_KUBECTL)); \
	manifests=$$(env --unset=IMG --unset=NAMESPACE --unset=COMPONENTS KUBECTL="$$kubectl" config/render.sh); \
	printf '# Generated from config/default by `make generate`; changes here are overwritten.\n%s\n' "$$manifests" >config/release/ipam-components.yaml
	UPDATE_DOCS=1 $(CARGO) test --quiet --workspace --test usage >/dev/null

.PHONY: lint
lint: lint-format lint-clippy lint-layers lint-generated lint-deny ## All checks that need no test run

.PHONY: lint-format
lint-format:
	$(CARGO) fmt --all --check

.PHONY: lint-clippy
lint-clippy:
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings

.PHONY: lint-layers
lint-layers:
	@config/layers.sh

.PHONY: lint-generated
lint-generated: generate
	@git diff --exit-code --stat config/crd config/release docs/cli.md docs/controller.md || { echo "error: generated files are not what the code says; commit what \`make generate\` wrote" >&2; exit 1; }

.PHONY: lint-deny
lint-deny: $(DENY_ROOT)/bin/cargo-deny
	$(DENY_ROOT)/bin/cargo-deny --log-level error check bans licenses sources

$(DENY_ROOT)/bin/cargo-deny:
	@echo "building cargo-deny $(DENY_VERSION) once, into $(DENY_ROOT)"
	$(CARGO) install cargo-deny --locked --version $(DENY_VERSION) --root $(DENY_ROOT) --quiet

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all
