# Each target sets itself up: a Python of 3.11 to 3.13 with venv is all that has to be there.
PYTHON ?= python3
# What `make demo` shows; the other one is the simulated, live visitor_conversion.
CASE ?= conversion
UV = .venv/bin/uv
RUN = .venv/bin/python -m
export UV_PROJECT_ENVIRONMENT = .venv
export UV_PYTHON_DOWNLOADS = never
# Shared runners and strange file systems: a hard link between two of them fails, a copy does not.
export UV_LINK_MODE = copy

.PHONY: demo up down status test lint bench-%

demo: .venv/.app
	@.venv/bin/perennial demo $(CASE)

up: .venv/.app
	@.venv/bin/perennial up

down: .venv/.app
	@.venv/bin/perennial down

status: .venv/.app
	@.venv/bin/perennial status

# Threads that wait for each other sleep: spinning, they would take the cores from the other worker and its children.
test: export OMP_WAIT_POLICY = passive
test: .venv/.dev
	@$(RUN) pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.dev
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy include plugins && .venv/bin/lint-imports

bench-%: .venv/.dev
	@$(RUN) benchmarks.bench_$*

.venv/.app: uv.lock $(UV)
	@echo "Installing from uv.lock ..."
	@$(UV) sync --quiet --frozen --inexact --no-dev --extra local --extra demo && touch $@

.venv/.dev: uv.lock $(UV)
	@echo "Installing from uv.lock, with what the tests need ..."
	@$(UV) sync --quiet --frozen --inexact --all-extras --group dev && touch $@ .venv/.app

$(UV):
	@$(PYTHON) .ci/check_python.py
	@$(PYTHON) -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
