"""
What the processes of a pipeline find in their environment.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from matatika_mill import Mill

from headrace.dialects.matatika.variables import variables_of


def _write_project(mill: Mill, **config: Any) -> None:
    loader = {"name": "target-postgres", "namespace": "target_postgres", "pip_url": "x", "config": config}
    extractor = {"name": "tap-x", "namespace": "tap_x", "pip_url": "x"}
    plugins = {"extractors": [extractor], "loaders": [loader]}
    (mill.project / "meltano.yml").write_text(json.dumps({"default_environment": "dev", "plugins": plugins}))


async def _variables(mill: Mill, properties: dict[str, str], component: dict[str, str]) -> dict[str, str]:
    put = await mill.client.put(
        f"{mill.workspace}/datacomponents/{uuid4()}",
        json={"name": "Store", "dataPlugin": "loaders/target-postgres", "properties": component},
    )
    assert put.status_code == 201, put.text
    body = {"label": "x", "dataComponents": ["tap-x", "Store"], "properties": properties}
    made = await mill.client.put(f"{mill.workspace}/pipelines/{uuid4()}", json=body)
    assert made.status_code == 201, made.text
    around = await mill.pipelines.around(mill.house.workspace)
    pipeline = await mill.pipelines.get(UUID(made.json()["id"]))
    return variables_of(around, pipeline, job_id=uuid4(), trigger="api", api_url="http://headrace.test")


@pytest.mark.parametrize(
    ("properties", "component", "config", "schema"),
    [
        ({"Store.schema": "a"}, {"schema": "b"}, {"schema": "c"}, "a"),
        ({}, {"default_target_schema": "b"}, {"schema": "c"}, "b"),
        ({}, {}, {"target_schema": "c"}, "c"),
        ({"tap-x.schema": "a"}, {}, {"schema": "${SCHEMA}"}, None),
        ({}, {}, {}, None),
    ],
)
async def test_dbt_is_told_the_store_and_its_schema(
    mill: Mill, properties: dict[str, str], component: dict[str, str], config: dict[str, str], schema: str | None
) -> None:
    """
    Section 7.2: the pipeline's property, then the store's, then the project's; without any of them there is no variable.
    """
    _write_project(mill, **config)

    found = await _variables(mill, properties, component)

    assert (found["EXTRACTOR"], found["LOADER"], found["DBT_TARGET"]) == ("tap-x", "Store", "postgres")
    assert (found.get("DBT_SOURCE_SCHEMA"), found.get("DBT_TARGET_SCHEMA")) == (schema, schema)
