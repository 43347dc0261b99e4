# `make` or `make help` lists what can be done. Every target may be stopped and run again at any moment.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

CONFIG ?= configs/complete_journey.yaml
PORT ?= 3000
BIN := .venv/bin
READY := .venv/.ready

# Offline and silent: nothing that runs here reports to anyone.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export GX_ANALYTICS_ENABLED := false
export BENTOML_DO_NOT_TRACK := True

.PHONY: help demo test test-all serve dashboard bench image image-base image-lock clean system-libraries test-programs image-programs

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: $(READY) | system-libraries ## install, train on the Complete Journey data, evaluate, release, recommend
	@echo "Training on a grocery chain's real year: some 8 minutes on 2 cores; seconds when nothing has changed. Stop with Ctrl-C, run again to go on."
	@$(BIN)/cortex-rec train $(CONFIG)
	@echo
	@$(BIN)/cortex-rec recommend --n 10
	@echo
	@echo "What next:"
	@echo "  make serve                            answer requests from this release on http://127.0.0.1:$(PORT)"
	@echo "  .venv/bin/cortex-rec report           where the report is, and its figures"
	@echo "  .venv/bin/cortex-rec recommend 208    ten items for another household"
	@echo "  .venv/bin/cortex-rec init my.csv      start with your own orders (docs/your-data.md)"

# By name and not, as xdist would, by number of tests: files that train whole shops have few, and would be left for the end.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
test: $(READY) | system-libraries test-programs ## lint, types, import contracts and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@echo "Tests and types: some 12 minutes on 2 cores."
	$(BIN)/mypy & types=$$!; $(BIN)/python -m pytest -m "not slow and not alone" $(PARALLEL); wait $$types
	$(BIN)/python -m pytest -m "alone and not slow" $$(grep -l 'mark\.alone' tests/test_*.py)

test-all: test | image-programs ## make test, then what builds and runs an image, pushes it, and runs deployments
	@echo "Slow tests: about 20 minutes on 2 cores, 5 GB of disk meanwhile."
	$(BIN)/python -m pytest -m slow

serve: $(READY) | system-libraries ## serve the release in production over HTTP
	@$(BIN)/cortex-rec serve --port $(PORT)

dashboard: $(READY) | system-libraries ## Prefect server, work pool, worker and deployments, until Ctrl-C
	@$(BIN)/python -m flows.dashboard

image: $(READY) | system-libraries ## the service as a container image: RELEASE, RELEASES, BASE, REPOSITORY (ECR), REGISTRY
	@$(BIN)/python -m flows.image $(foreach name,RELEASE RELEASES BASE REPOSITORY REGISTRY,$(if $($(name)),--$(shell echo $(name) | tr A-Z a-z) $($(name))))

image-base: $(READY) ## a base image from Debian's packages, where no registry has one (root, debootstrap)
	@$(BIN)/python -m cortex_rec.packaging.base

image-lock: $(READY) ## resolve and hash what the image installs: deployments/serving.txt
	@$(BIN)/python -m cortex_rec.packaging.requirements

bench: $(READY) | system-libraries ## run one benchmark: make bench NAME=complete-journey; some take DATA and METHODS
	@if [ -z "$(NAME)" ]; then \
		echo "Which one? make bench NAME=<name>, one of:" >&2; \
		for file in benchmarks/[a-z]*.py benchmarks/[a-z]*/__main__.py; do \
			[ -e "$$file" ] || continue; file="$${file%/__main__.py}"; basename "$$file" .py | tr _ - | sed 's/^/  /' >&2; \
		done; exit 2; \
	fi
	@$(BIN)/python -m benchmarks.$(subst -,_,$(NAME))$(if $(DATA), --data '$(DATA)')$(if $(METHODS), --methods '$(METHODS)')

clean: ## remove the environment, stages, caches and bench results; releases stay
	rm -rf .venv .cortex benchmarks/out build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# Built again only when the dependencies change.
$(READY): pyproject.toml constraints.txt
	@python=""; \
	for candidate in $(BIN)/python python3.11; do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ] && command -v uv >/dev/null; then \
		echo "No python3.11 here; asking uv for one."; \
		uv python install 3.11 && python="$$(uv python find 3.11)"; \
	fi; \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 is needed (DGL's wheels end there) and neither python3.11 nor uv was found." >&2; \
		echo "Install one of them: \`apt-get install python3.11 python3.11-venv\`, \`brew install python@3.11\`, or uv; then run make again." >&2; exit 1; \
	fi; \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		"$$python" -m venv .venv || { echo "$$python cannot make a virtual environment. On Debian: \`apt-get install python3.11-venv\`." >&2; exit 1; }; \
	fi
	@echo "Installing pinned dependencies into .venv: 2 to 6 minutes the first time (about 3 GB), seconds after that."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

# LightGBM and DGL need the OpenMP runtime, which a bare Debian lacks.
system-libraries:
	@[ "$$(uname -s)" = Linux ] || exit 0; \
	if ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1'; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing libgomp1: a few seconds."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libgomp1 >/dev/null; \
	else \
		echo "The OpenMP runtime libgomp.so.1 is missing: \`sudo apt-get install libgomp1\` (Debian, Ubuntu) or \`dnf install libgomp\`, then run make again." >&2; exit 1; \
	fi

# Programs that tests drive, and their Debian packages. Redis' tools hold its server, too, under this name; unlike its own package they
# start no service.
TEST_PROGRAMS := chromium:chromium redis-check-rdb:redis-tools
# What builds, runs, pushes and keeps images, and the Prometheus that reads the service's metrics in a test (where systemd runs, Debian's
# package starts one: `systemctl disable --now prometheus`).
IMAGE_PROGRAMS := prometheus:prometheus buildah:buildah podman:podman skopeo:skopeo runc:runc docker-registry:docker-registry debootstrap:debootstrap
test-programs: PROGRAMS = $(TEST_PROGRAMS)
image-programs: PROGRAMS = $(IMAGE_PROGRAMS)
test-programs image-programs:
	@missing=""; for program in $(PROGRAMS); do command -v "$${program%%:*}" >/dev/null || missing="$$missing $${program##*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing$$missing for the tests: about a minute."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
		echo "Tests that need$$missing will be skipped or fail: install$$missing to run them (Debian, Ubuntu: \`sudo apt-get install$$missing\`)." >&2; \
	fi
