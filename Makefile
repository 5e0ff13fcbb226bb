.PHONY: setup check format test demo bench chaos lock clean
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.ready

setup: $(STAMP)

# No ensurepip and no system-wide pip install: a Debian python3 lacks the first and refuses the second.
$(STAMP): pyproject.toml requirements/dev.txt requirements/bootstrap.txt
	test -x $(PY) || python3 -m venv --without-pip $(VENV)
	python3 -m pip --python $(PY) install --quiet --require-hashes -r requirements/bootstrap.txt
	$(VENV)/bin/uv pip sync --quiet --python $(PY) --require-hashes --compile-bytecode requirements/dev.txt
	$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --editable .
	touch $@

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: setup
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

test: setup
	$(VENV)/bin/pytest -m "not chaos"

chaos: setup
	$(VENV)/bin/pytest -m chaos --timeout 1800

bench: setup
	$(PY) -m bench

demo: setup
	$(VENV)/bin/headrace demo

lock:
	$(VENV)/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements/run.txt
	$(VENV)/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt
	echo uv==$$($(VENV)/bin/uv --version | cut -d' ' -f2) | $(VENV)/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o requirements/bootstrap.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
