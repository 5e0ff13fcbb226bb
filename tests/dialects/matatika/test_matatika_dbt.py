"""
A pipeline whose last action is dbt: dbt-core and dbt-duckdb from the index, on what the target wrote.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matatika_mill import Mill
from meltano_kit import write_project

pytestmark = pytest.mark.chaos

DBT = {
    "name": "dbt-duckdb",
    "namespace": "dbt_duckdb",
    # Of 1.10: newer dbt-core (1.12.6) brings a package that is built from what it downloads outside the index.
    "pip_url": "dbt-core>=1.10,<1.11 dbt-duckdb>=1.10,<1.11",
    "executable": "dbt",
    "settings": [
        {"name": "project_dir", "env": "DBT_PROJECT_DIR", "value": "$MELTANO_PROJECT_ROOT/transform"},
        {"name": "profiles_dir", "env": "DBT_PROFILES_DIR", "value": "$MELTANO_PROJECT_ROOT/transform"},
        {"name": "send_anonymous_usage_stats", "env": "DBT_SEND_ANONYMOUS_USAGE_STATS", "value": "false"},
    ],
    "commands": {"run": {"args": "run"}},
}

_PROFILES = """
flights:
  target: "{{ env_var('DBT_TARGET') }}"
  outputs:
    jsonl:
      type: duckdb
      path: "{{ env_var('MELTANO_PROJECT_ROOT') }}/out/flights.duckdb"
      schema: "{{ env_var('DBT_TARGET_SCHEMA') }}"
"""

_MODEL = """
{{ config(materialized='external', location=env_var('MELTANO_PROJECT_ROOT') ~ '/out/told.json', format='json') }}
select count(*) as flights, '{{ target.name }}' as target, '{{ this.schema }}' as model_schema,
       '{{ env_var("DBT_SOURCE_SCHEMA") }}' as source_schema
from read_json_auto('{{ env_var("MELTANO_PROJECT_ROOT") }}/out/flights.jsonl')
"""


def write_dbt(folder: Path, model: str = _MODEL) -> None:
    """
    Add a dbt project of one model to the Meltano project in *folder*.
    """
    transform = folder / "transform"
    (transform / "models").mkdir(parents=True, exist_ok=True)
    project = {"name": "flights", "version": "1.0", "profile": "flights", "config-version": 2}
    (transform / "dbt_project.yml").write_text(json.dumps(project))
    (transform / "profiles.yml").write_text(_PROFILES)
    (transform / "models" / "told.sql").write_text(model)
    document = json.loads((folder / "meltano.yml").read_text())
    document["plugins"]["utilities"] = [DBT]
    (folder / "meltano.yml").write_text(json.dumps(document))


async def test_dbt_runs_on_what_the_target_wrote(mill: Mill) -> None:
    """
    Section 7.2: dbt as an action finds its project, its target and the loader's schema in its environment; its log and exit code are the job's.
    """
    write_project(mill.project)
    write_dbt(mill.project)
    pipeline = await mill.pipeline(
        "modelled",
        dataComponents=["tap-jsonl", "target-jsonl", "dbt-duckdb"],
        actions=["tap-jsonl", "target-jsonl", "dbt-duckdb:run"],
        properties={"target-jsonl.default_target_schema": "landed"},
    )

    good = await mill.run(pipeline)

    assert (good["status"], good["exitCode"]) == ("COMPLETE", 0), await mill.logs(good["id"])
    assert "Completed successfully" in await mill.logs(good["id"])
    (written,) = Path(mill.house.files.folder("jobs")).glob("*/*/*/*/project/out/told.json")
    assert json.loads(written.read_text()) == {
        "flights": 2,
        "target": "jsonl",
        "model_schema": "landed",
        "source_schema": "landed",
    }

    write_dbt(mill.project, "select no_such_column from (select 1 as id)")
    bad = await mill.run(pipeline)

    assert (bad["status"], bad["exitCode"]) == ("ERROR", 1)
    assert "no_such_column" in await mill.logs(bad["id"])
