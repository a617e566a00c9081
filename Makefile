# Targets for development. `make` or `make help` lists them.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/reckon
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
GUNGRAUN_VERSION := 0.20.0
GUNGRAUN := $(CACHE)/gungraun-$(GUNGRAUN_VERSION)/bin/gungraun-runner
MDBOOK_VERSION := 0.5.4
MDBOOK := $(CACHE)/mdbook-$(MDBOOK_VERSION)/bin/mdbook
BOOK := $(abspath $(or $(CARGO_TARGET_DIR),target))/book
PURCHASES := $(CACHE)/complete-journey/purchases.db

.DEFAULT_GOAL := help
.PHONY: help run up env down check test e2e counts prove soak load bench evaluate advisories docs lint format generate
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(if $(filter purchases,$(DATA)),$(PURCHASES)) ## Serve demo data on localhost:8000; DATA=FILE another SQLite file, DATA=purchases 1.5 million real ones
	cargo run --release --package reckon-api -- serve $(if $(DATA),--data $(if $(filter purchases,$(DATA)),$(PURCHASES),$(DATA)),--demo)

up: ## Install Reckon on a new cluster and request an answer (kind where Docker runs; else Linux, root); CLUSTER=current: the cluster of kubectl
	@e2e/cluster/up

env: ## Print KUBECONFIG and PATH of that cluster for a shell: eval "$(make -s env)"
	@e2e/cluster/up --env

down: ## Remove that cluster and everything that `make up` created
	@e2e/cluster/up --down

check: lint ## Run formatter, lints and unit tests: seconds after the first build
	cargo test --quiet --workspace --lib --bins

# Always the whole workspace: cargo unifies features over the chosen packages, so another choice compiles dependencies again.
# Two tests for each processor, because they mostly wait: one for each used 41 % of two processors.
test: lint $(CARGO_DENY) ## Run unit and integration tests; installs databases and a browser if they are missing (Debian, root)
	e2e/install mariadb redis nginx wrk network chromium prometheus mysql python
	$(CARGO_DENY) check bans licenses sources
	RUST_TEST_THREADS=$$((2 * $$(nproc))) cargo test --workspace --lib --bins --test it
	cargo test --quiet --workspace --doc

e2e: ## Count instructions, test the manifests, the operator against a real API server, and a whole cluster; compiles Kubernetes the first time
	e2e/install prometheus api-server cluster
	$(MAKE) counts
	e2e/manifests/check
	cargo test --workspace --test api_server
	@if [ "$$(id -u)" = 0 ] && [ -d /sys/fs/cgroup/memory ]; then \
	  cargo test --workspace --test cluster -- --nocapture; \
	else echo "SKIPPED: the cluster's tests, which need root on Linux with cgroup v1"; fi

# Not part of CI: all of it takes more than an hour. The page is written even if a promise does not hold.
prove: ## Measure the figures of docs/reliability.md; SCENARIOS="NAME ...", MODES=Plan,Server,Kubernetes, SERVERS=MariaDB,MySQL, KEEP=DIR for the cluster
	e2e/install cluster python
	@cargo test --workspace --test prove -- $(if $(MODES),--mode $(MODES)) $(if $(SERVERS),--server $(SERVERS)) \
	  $(if $(STATE),--state $(STATE)) $(if $(KEEP),--keep $(KEEP)) $(SCENARIOS); \
	status=$$?; e2e/prove/render && exit $$status

soak: ## Kill pods, databases and nodes under load for SOAK_MINUTES=30 and check every answer; SEED=1 for the order, MODES, SERVERS, KEEP as for prove
	e2e/install cluster python
	@cargo test --workspace --test prove -- --soak $(or $(SOAK_MINUTES),30) --seed $(or $(SEED),1) --mode $(or $(MODES),Server) \
	  --server $(or $(SERVERS),MariaDB) $(if $(KEEP),--keep $(KEEP)); \
	status=$$?; e2e/prove/render && exit $$status

load: ## Run a load test with Locust: 1,000 users against URL (http://localhost:8000); fails if any request fails
	e2e/install python
	e2e/load/run $(or $(URL),http://localhost:8000)

bench: ## Measure Reckon beside nginx and write the table of docs/performance.md; QUICK=1: two minutes, only printed
	cargo build --release --package reckon-api
	e2e/bench/run $(or $(CARGO_TARGET_DIR),target)/release/reckon-api $(if $(QUICK),--quick,--write docs/performance.md)

# Not part of `make test`, which compiles no release build: that takes minutes, the counts themselves 20 seconds.
counts: $(GUNGRAUN) ## Count the instructions of the hot paths; fail if one needs 5 % more than in api/counts/counts.json; ACCEPT=1: write that file
	e2e/install valgrind
	GUNGRAUN_RUNNER=$(GUNGRAUN) api/counts/check $(if $(ACCEPT),--accept)

# The ten cut-offs of docs/recommendations.md, which were not used to choose the constants.
evaluate: $(PURCHASES) ## Measure the figures of docs/recommendations.md on 1.5 million real purchases; fail if one differs
	cargo run --release --package reckon-api -- evaluate --data $(PURCHASES) --check e2e/complete_journey/ndcg.csv --cut-offs \
	  2017-07-30,2017-08-14,2017-08-29,2017-09-13,2017-09-28,2017-10-13,2017-10-28,2017-11-12,2017-11-27,2017-12-12

advisories: $(CARGO_DENY) ## Report known vulnerabilities of dependencies; fetches the advisory database
	$(CARGO_DENY) check advisories

docs: $(MDBOOK) ## Build the documentation and open it in a browser
	$(MDBOOK) build docs --dest-dir $(BOOK) $(if $(CI),,--open)

lint:
	cargo fmt --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps
	@! cargo tree --package reckon-operator --edges normal --prefix none | grep -E '^(sqlx|mysql|diesel|tokio-postgres)' \
	  || { echo "reckon-operator has a database driver: only Jobs connect to servers that resources name"; exit 1; }

generate: ## Write the generated files: the CRD, the chart's copy, k8s/install.yaml, dashboards, tables in docs/
	cargo run --quiet --package reckon-operator -- crd > crds/recommendationservices.reckon.dev.yaml
	cp crds/recommendationservices.reckon.dev.yaml charts/reckon/files/
	PATH="$$(dirname "$$(e2e/cluster/cluster path helm)"):$$PATH" k8s/render --write
	e2e/monitoring/render --write
	RECKON_WRITE_PINNED=1 cargo test --quiet --workspace --lib --test it _page_ -- --test-threads=1

format: ## Format the code
	cargo fmt

$(CARGO_DENY):
	cargo install --quiet --locked --root $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION) --version $(CARGO_DENY_VERSION) cargo-deny

$(GUNGRAUN):
	cargo install --quiet --locked --root $(CACHE)/gungraun-$(GUNGRAUN_VERSION) --version $(GUNGRAUN_VERSION) gungraun-runner

$(MDBOOK):
	cargo install --quiet --locked --no-default-features --features search --root $(CACHE)/mdbook-$(MDBOOK_VERSION) --version $(MDBOOK_VERSION) mdbook

$(PURCHASES):
	e2e/install python
	e2e/complete_journey/fill --sqlite $@.partial
	mv $@.partial $@
