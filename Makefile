# Two commands: `make run` shows the built-in model answering, `make test` runs the suite. `make help` has the rest.
.DEFAULT_GOAL := help
.PHONY: help run test check soak fuzz bench setup setup-dev lock rebuild clean
MAKEFLAGS += --no-print-directory

# Looks for Python, venv and the compilers, then prepares .venv; seconds when it is already right.
prepare = python="$$(sh scripts/preflight.sh)" && "$$python" -m scripts.setup_venv

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile

run: setup  ## install into .venv, then stream an answer of the built-in model
	@.venv/bin/python -m scripts.first_run

test: setup-dev  ## run the whole suite
	@.venv/bin/python -m scripts.run_tests

check: setup-dev  ## lint, types, import rules, file sizes
	@failed=""; \
	.venv/bin/ruff check . || failed="$$failed ruff"; \
	.venv/bin/ruff format --check . || failed="$$failed format"; \
	.venv/bin/mypy src scripts benchmarks tests || failed="$$failed mypy"; \
	.venv/bin/lint-imports || failed="$$failed lint-imports"; \
	.venv/bin/python -m scripts.check_file_size || failed="$$failed file-size"; \
	if [ -n "$$failed" ]; then echo "Not passed:$$failed"; exit 1; fi

soak: setup-dev  ## the long tests, 10 minutes; the result is written to benchmarks/results
	@ARRIERO_SOAK_SECONDS="$${ARRIERO_SOAK_SECONDS:-600}" .venv/bin/python -m scripts.soak

fuzz: setup-dev  ## try 100,000 bodies on each API's routes; the counts are written to benchmarks/results
	@.venv/bin/python -m scripts.fuzz

bench: setup-dev  ## race against llama-server, named by LLAMA_SERVER: make bench ARGS="--help"
	@.venv/bin/python -m benchmarks.race $(ARGS)

setup:  ## prepare .venv
	@$(prepare)

setup-dev:  ## prepare .venv with the tools for tests and checks
	@$(prepare) --dev

rebuild:  ## compile llama.cpp again, for instance after a change of CPU
	@$(prepare) --rebuild

lock: setup-dev  ## resolve the newest allowed versions into the lock files
	@.venv/bin/python -m scripts.lock

clean:  ## remove .venv and everything generated; compiled wheels stay in the cache
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests scripts benchmarks -type d -name __pycache__ -exec rm -rf {} + 2>/dev/null || true
