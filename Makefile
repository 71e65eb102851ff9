# make valuation   set up, then value the providers (or see that nothing changed)
# make test        set up, then run all tests
.PHONY: help setup valuation valuation-faulty valuation-text valuation-text-faulty serve serve-team test test-fast drill check site benchmark clean

PYTHON ?= python3.11
BIN := .venv/bin
REMOTE ?= $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/unshapley/dvc
export DVC_NO_ANALYTICS := 1
# what was compiled once need not be compiled by each of the processes that a run starts
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help:
	@sed -n 's/^# //p' Makefile
	@echo "make valuation-faulty   the same with three planted faults, in .faulty"
	@echo "make valuation-text  whose text is worth what to a small language model, in .text"
	@echo "make valuation-text-faulty  the same with a planted copy and planted garbage, in .text-faulty"
	@echo "make serve      Prefect's server and UI, a worker, and the deployments of this project"
	@echo "make serve-team  the same for a team, with passwords, on PostgreSQL and Redis"
	@echo "make test-fast  those without a flow or a process of their own"
	@echo "make drill      long tests: every moment of a kill, every step of a refresh"
	@echo "make check      lint, types and the import contracts"
	@echo "make site       the pages of docs/ as a site, in site/"
	@echo "make benchmark  leave-one-out by unlearning against real retraining"
	@echo "make clean      remove what a run leaves behind (not the environment, not the data)"

setup: .venv/ready
ifeq ($(origin REMOTE),command line)
	@scripts/configure-dvc "$(REMOTE)"
endif

.venv/ready: constraints.txt pyproject.toml
	@echo "setting up .venv (some minutes once)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@# on all cores, which pip does on one; some packages ship files that are no Python of today
	-@$(BIN)/python -m compileall -qq -j 0 .venv/lib >/dev/null 2>&1 || true
	@scripts/configure-dvc "$(REMOTE)"
	@scripts/make-database
	@touch $@

valuation: setup
	$(BIN)/dvc repro
	$(BIN)/unshapley report

# a server with UI, worker and deployments of this project; Ctrl-C ends it
serve: setup
	@$(BIN)/unshapley serve

# with authentication, on PostgreSQL and Redis: by compose where a container engine answers
serve-team: setup
	@if docker info >/dev/null 2>&1; then docker compose -f deployments/compose.yaml up --build; \
	else $(BIN)/unshapley serve --team $${DATABASE:+--database "$$DATABASE"} $${REDIS:+--redis "$$REDIS"}; fi

valuation-faulty: setup
	rm -rf .faulty
	$(BIN)/unshapley init .faulty --set validation.policy=quarantine \
	  --set 'faults.wrong_labels={form-03: 0.6}' --set 'faults.noise={form-08: 4.0}' \
	  --set 'faults.duplicate={form-11: form-02}'
	$(BIN)/unshapley prepare --project .faulty
	$(BIN)/unshapley suites --project .faulty
	$(BIN)/unshapley pretrain --project .faulty
	$(BIN)/unshapley run --project .faulty

# documents of the standard library by package; a second time it says that nothing changed
valuation-text: TEXT := .text
valuation-text-faulty: TEXT := .text-faulty
# who plants garbage may not judge: its own test documents would be garbage
valuation-text-faulty: FAULTS := --set 'faults.duplicate={xml: email}' --set 'faults.garbage={urllib: 1.0}' \
  --set 'prepare.test_from=[asyncio, http, importlib, logging, multiprocessing, topics, unittest]'
valuation-text valuation-text-faulty: setup
	@test -e $(TEXT)/params.yaml || { rm -rf $(TEXT)-corpus && \
	  $(BIN)/python examples/standard_library.py $(TEXT)-corpus && \
	  $(BIN)/unshapley init $(TEXT) --data $(TEXT)-corpus --yes \
	  --set valuation.budget=256 $(FAULTS); }
	$(BIN)/unshapley run --project $(TEXT)
	$(BIN)/unshapley report --project $(TEXT)

test: setup
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

test-fast: setup
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not process and not drill"

drill: setup
	$(BIN)/pytest -v -m drill

check: setup
	scripts/check

site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo site/index.html

benchmark: setup
	$(BIN)/python benchmarks/leave_one_out.py

clean:
	@# refused while a run works here
	@if [ -x $(BIN)/unshapley ]; then $(BIN)/unshapley clean --days 0; fi
	rm -rf .prefect .faulty .text .text-corpus .text-faulty .text-faulty-corpus dvc_plots site
