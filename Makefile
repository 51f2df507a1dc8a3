# make run starts Thaw; make test proves it; make help lists the rest. Nothing has to be installed first but Python 3.11+.
.DEFAULT_GOAL := help
.PHONY: help run env test test-all test-crash test-slurm lint format bench mutate browser clean-envs

# The first Python on PATH that is new enough; where there is none, python3, so that the check below can say what is wrong.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; exit; }; done; echo python3)

# Sets $$bin to the environment's programs; the environment is made or completed first where needed.
run_environment = bin="$$($(PYTHON) .ci/environment.py run)/bin"
test_environment = bin="$$($(PYTHON) .ci/environment.py test)/bin"

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A browser window is opened where there is a screen to show it on.
screen = $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname))

run: python  ## start Thaw in the browser (PORT=8600 for another port)
	@$(run_environment) && exec "$$bin/python" -m streamlit run dashboard.py \
		--server.address 127.0.0.1 --server.headless $(if $(screen),false,true) --server.showEmailPrompt false \
		--browser.gatherUsageStats false $(if $(PORT),--server.port $(PORT))

env: python  ## make the environment for tests and print its folder
	@$(PYTHON) .ci/environment.py test

# One process a core; whoever is done takes work from the others.
workers = -n auto --dist worksteal

# mypy takes a minute of one core in a fresh clone: it works beside the tests instead of before them. Both must pass.
# Compiled ahead, since the tests start Thaw in many processes, and where PYTHONDONTWRITEBYTECODE is set each would compile all of it for itself.
prove = $(test_environment) && "$$bin/ruff" check . && "$$bin/ruff" format --check . || exit 1; \
	"$$bin/python" -m compileall -q -j 0 core pages dashboard.py; \
	"$$bin/mypy" & types=$$!; "$$bin/python" -m pytest $(workers) $(ARGS); tests=$$?; \
	wait $$types || { echo "mypy found faults; its lines stand above, among those of the tests" >&2; exit 1; }; exit $$tests

test: browser  ## everything: ruff, mypy and all tests, those in a real browser included
	@$(prove)

test-all: workers += -m ""
test-all: browser  ## the same, and every model in the catalogue instead of a sample
	@$(prove)

test-crash: python  ## kill runs at random moments, have them go on, and compare bits, steps and signals (ARGS=50 kills)
	@$(test_environment) && "$$bin/python" -m tests.crash $(ARGS)

test-slurm: python  ## runs on a real Slurm of one node, made for it from Debian's packages slurm-wlm and munge (ARGS=steered: one part)
	@$(test_environment) && "$$bin/python" -m tests.slurm $(ARGS)

lint: python  ## ruff and mypy
	@$(test_environment) && "$$bin/ruff" check . && "$$bin/ruff" format --check . && "$$bin/mypy"

format: python  ## lay the code out as ruff does, and mend what it can mend
	@$(test_environment) && { "$$bin/ruff" check --fix --quiet .; "$$bin/ruff" format .; }

bench: python  ## side-by-side measurements, as tables for the README (ARGS=peers: against other libraries)
	@$(test_environment) && "$$bin/python" -m bench $(ARGS)

browser: python  ## find a Chromium that works, or install one
	@$(test_environment) && "$$bin/python" -m tests.browser

mutate: python  ## do the tests notice when core is changed? (ARGS="--sample 150 --seed 0"; an hour or more, goes on where it ended)
	@bin="$$($(PYTHON) .ci/environment.py mutate)/bin" && "$$bin/python" -m tests.mutate $(ARGS)

clean-envs: python  ## remove the environments of other versions of the requirements
	@$(PYTHON) .ci/environment.py clean

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Thaw needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1 | tail -n 1)." >&2; \
		echo "Install one (Debian and Ubuntu: apt-get install python3 python3-venv; macOS: brew install python), or name it:" >&2; \
		echo "  make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.12" >&2; exit 1; }
