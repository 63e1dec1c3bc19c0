# One command per need. Each sets itself up: `.venv` is made on first use and renewed when its pins change.
.DEFAULT_GOAL := help
.PHONY: help demo test check dashboard clean

bin := .venv/bin
packages := tonnage.py scenarios sim live dashboard tests

help:  ## Say what each target does.
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 16

demo: .venv/ready  ## Predict one story, hold it against real Docker, and show how far off the prediction was.
	@$(bin)/python -m dashboard.demo

test: .venv/ready  ## Run all tests; those that need an engine or a browser say so where there is none.
	@$(bin)/python -m pytest

check: .venv/ready  ## Lint, format, types, layers and docstrings.
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports --no-logo
	$(bin)/interrogate $(packages)

dashboard: .venv/ready  ## Open the dashboard in a browser.
	@$(bin)/tonnage dashboard

clean:  ## Remove what these targets made here; records of runs are kept elsewhere and stay.
	rm -rf .venv build ./*.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/ready: pyproject.toml constraints.txt .ci/get-packages
	@.ci/get-packages
	@touch $@
