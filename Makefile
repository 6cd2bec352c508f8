# `make help` lists the targets. Each works on a fresh clone: what it needs is set up first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-lab lab compare remedy watch test programs test-programs molecule test-scenarios test-kubernetes test-scenarios-kubernetes lock golden \
  generate screenshots clean

STRATEGY ?= service
SCENARIO ?= dns-trap
ARGS ?=

# An activated environment of somebody else's must not leak in; a world-writable checkout must not lose its ansible.cfg.
unexport VIRTUAL_ENV
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PYTHON
# Ansible wants UTF-8, which a shell with LC_ALL=C has not.
ifneq ($(shell locale charmap 2>/dev/null),UTF-8)
export LC_ALL := C.UTF-8
endif

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-25s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## Make .venv with every pinned dependency (PYTHON=… names the interpreter)
	@scripts/setup

setup-lab: ## Make .venv with what a run needs, without the tools of tests and development
	@scripts/setup lab

lab: setup-lab ## Run one strategy and explain it: make lab STRATEGY=envoy ARGS='-e lab_replicas=7'
	@.venv/bin/ansible-playbook playbooks/lab.yml -e lab_strategy='$(STRATEGY)' $(ARGS)

compare: setup-lab ## Run all strategies and lay them side by side: make compare ARGS='-e strategies=service,envoy'
	@.venv/bin/ansible-playbook playbooks/compare.yml $(ARGS)

remedy: setup-lab ## Lay the trouble of a scenario beside what helps: make remedy SCENARIO=dns-trap
	@.venv/bin/ansible-playbook playbooks/compare.yml -e remedy='$(SCENARIO)' $(ARGS)

watch: setup-lab ## Show the run that happens now, in a second terminal; ARGS=--page: in a browser
	@.venv/bin/lb-lab watch $(ARGS)

test: setup ## Run every check and test that needs no cluster; what needs a missing program is skipped
	@.venv/bin/python scripts/test.py

programs: setup ## Install the programs that some tests need: nginx, HAProxy, Chromium, ... (root, Debian or Ubuntu)
	@.venv/bin/python scripts/optional_programs.py

test-programs: setup ## Run only the tests that need these programs, and skip none
	@.venv/bin/python scripts/test.py --needing

molecule: setup ## Run molecule, which looks for Ansible on the PATH: make molecule ARGS='test -s envoy'
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/molecule $(ARGS)

test-scenarios: setup ## Run every scenario and 50 kill points on local processes (about 35 minutes)
	@LAB_TEST_SCENARIOS=1 .venv/bin/python -m pytest -v tests/scenarios tests/local/test_kill_points.py

test-kubernetes: setup ## Run the lab on a real kind cluster
	@testbed/test-kubernetes

test-scenarios-kubernetes: setup ## Run every scenario with two strategies on a real kind cluster (about 20 minutes)
	@LAB_TEST_SCENARIOS=1 testbed/test-kubernetes -k all_scenarios

lock: setup ## Write requirements/*.txt anew from requirements/*.in
	@for name in test lab image; do .venv/bin/uv pip compile --quiet --upgrade --generate-hashes --universal --no-annotate \
	  --no-header --no-emit-index-url --python-version 3.12 $$([ $$name = test ] || echo --constraint requirements/test.txt) \
	  --output-file requirements/$$name.txt requirements/$$name.in; done

golden: setup ## Write the chart's golden renders in tests/golden anew
	@scripts/golden

generate: setup ## Write anew what follows from other files: code from proto/, pages from strategies and scenarios
	@scripts/generate app
	@scripts/strategies-doc
	@scripts/scenarios-doc
	@for file in strategies/*.yaml; do folder=molecule/$$(basename "$$file" .yaml); mkdir -p "$$folder"; \
	  [[ -e $$folder/molecule.yml ]] || echo '--- {}' >"$$folder/molecule.yml"; done

screenshots: setup ## Make docs/images/*.png from a real comparison of all strategies (needs Chromium)
	@scripts/screenshots

clean: ## Stop what the lab started here and remove what it made
	@scripts/clean
