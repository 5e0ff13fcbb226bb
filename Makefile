.PHONY: setup tools check format test demo bench chaos lock clean
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
# How many processes the tests are shared between; `$(VENV)/bin/pytest` by itself runs them in one.
PROCESSES ?= 2
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools

unexport PYTHONDONTWRITEBYTECODE

setup: $(READY)
tools: $(TOOLS)

# No ensurepip and no system-wide pip install: a Debian python3 lacks the first and refuses the second.
# Bytecode is compiled here, once: where PYTHONDONTWRITEBYTECODE is set, every start would do it again. Our own is kept as it comes.
$(READY): pyproject.toml requirements/run.txt requirements/bootstrap.txt
	test -x $(PY) || python3 -m venv --without-pip $(VENV)
	python3 -m pip --python $(PY) install --quiet --require-hashes -r requirements/bootstrap.txt
	$(UV) pip sync --quiet --python $(PY) --require-hashes --compile-bytecode requirements/run.txt
	$(UV) pip install --quiet --python $(PY) --no-deps --editable .
	touch $@

# What only the development of Headrace needs: the demo does without.
$(TOOLS): $(READY) requirements/dev.txt
	$(UV) pip install --quiet --python $(PY) --require-hashes --compile-bytecode --requirement requirements/dev.txt
	touch $@

check: tools
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: tools
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

test: tools
	$(VENV)/bin/pytest -m "not chaos" -n $(PROCESSES)

chaos: tools
	$(VENV)/bin/pytest -m chaos --timeout 1800

bench: tools
	$(PY) -m bench

demo: setup
	$(VENV)/bin/headrace demo

lock:
	$(VENV)/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements/run.txt
	$(VENV)/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt
	echo uv==$$($(VENV)/bin/uv --version | cut -d' ' -f2) | $(VENV)/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o requirements/bootstrap.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
