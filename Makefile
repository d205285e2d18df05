# Python >= 3.11 and make are all that these need; everything else goes into .venv, from the lock files.
#   make demo       the bundled demo: four baselines on five cases, with its leaderboard
#   make test-fast  the tests that need no engine, no Snakemake run, no cluster and no browser
#   make test       the whole test-suite
#   make lint       format, style, types, workflow
#   make coverage   which lines and branches of src the fast tests run
#   make docs       the documentation as a site, in build/site; make docs-publish publishes it
#   make bench      the measurements in benchmarks/
#   make lock       resolve the lock files again (needs uv)

candidates = python3 python3.14 python3.13 python3.12 python3.11
usable = 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
python = $(firstword $(foreach p,$(candidates),$(shell $(p) -c $(usable) 2>/dev/null && echo $(p))))
pip = .venv/bin/python -m pip install --quiet --disable-pip-version-check

lock = --universal --python-version 3.11 --generate-hashes --no-header --no-emit-package segarena

.PHONY: demo test-fast test test-bare test-outside coverage docs docs-publish build/docs lint ruff mypy snakefmt snakemake-lint bench lock

demo: .venv/installed
	.venv/bin/snakemake --snakefile Snakefile --directory demo --configfile config/demo.yaml --cores 2 --quiet host reason
	@echo
	@.venv/bin/python -c "import pandas; board = pandas.read_csv('demo/results/rank/cvpr25/leaderboard.csv'); print(board.filter(regex='^(rank|submission|mean_rank)$$|_mean$$').drop(columns=list(board.filter(regex='_then_mean$$'))).to_string(index=False))"
	@echo "All results: demo/results (leaderboard: demo/results/rank/cvpr25/leaderboard.csv)"

# Two workers; what shares a finished run, a cluster or an engine stays with one (tests/conftest.py). The kernels are
# compiled first, so that no two workers compile them at once.
parallel = -n 2 --dist loadgroup --no-loadscope-reorder
outside = engine or cluster or browser
pytest = .venv/bin/python -m segarena.masks && .venv/bin/python -m pytest $(parallel)

test-fast: .venv/installed-dev
	$(pytest) -m "not (workflow or $(outside))"

test: .venv/installed-dev
	$(pytest)

# The two halves of .ci/run: a machine without engines, then all that the first half skips. The second runs in one
# process: its tests share one engine and one machine.
test-bare: export SEGARENA_TEST_ENGINES = none
test-bare: .venv/installed-dev
	$(pytest)

test-outside: .venv/installed-dev
	.venv/bin/python -m segarena.masks && .venv/bin/python -m pytest -m "$(outside)"

coverage: .venv/installed-dev
	$(pytest) -m "not (workflow or $(outside))" --cov --cov-report=term:skip-covered

lint: ruff mypy snakefmt snakemake-lint

ruff: .venv/installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

mypy: .venv/installed-dev
	.venv/bin/mypy

snakefmt: .venv/installed-dev
	.venv/bin/snakefmt --check Snakefile workflow/rules

snakemake-lint: .venv/installed-dev
	.venv/bin/snakemake --lint --snakefile Snakefile --directory demo --configfile config/demo.yaml

build/docs: .venv/installed-dev
	rm -rf $@ && mkdir -p $@
	tar -cf - README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff docs config profiles workflow/schemas | tar -xf - -C $@

docs: build/docs
	.venv/bin/mkdocs build --quiet --strict --site-dir build/site

docs-publish: build/docs
	.venv/bin/mkdocs gh-deploy --strict --site-dir build/site

bench: .venv/installed-dev
	for script in $(filter-out benchmarks/reference.py,$(wildcard benchmarks/*.py)); do .venv/bin/python $$script || exit 1; done

lock: .venv/installed
	uv pip compile $(lock) --extra workflow --group build -o requirements.lock pyproject.toml
	uv pip compile $(lock) --extra workflow --extra dev --group build --constraint requirements.lock -o requirements-dev.lock pyproject.toml
	uv pip compile $(lock) --extra workflow --resolution lowest-direct -o requirements-lowest.lock pyproject.toml
	.venv/bin/python envs/from_lock.py

.venv/bin/python:
	@test -n "$(python)" || { echo "make: no Python >= 3.11 with venv among: $(candidates) (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(python) -m venv .venv

.venv/installed: requirements.lock pyproject.toml | .venv/bin/python
	$(pip) --require-hashes -r requirements.lock
	$(pip) --no-deps --no-build-isolation -e .
	.venv/bin/python -m segarena.masks
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	$(pip) --require-hashes -r requirements-dev.lock
	@touch $@
