"""
The project folder: what is read from it, what is said about what is wrong, and what a problem costs.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from headrace.core.definitions import ScriptDef
from headrace.core.errors import DefinitionError
from headrace.core.plan import Limits
from headrace.store.project import LoadResult, load_project
from headrace.store.project_files import digest_of_files, files_of_script, fingerprint
from headrace.store.project_quantities import duration_seconds, size_bytes
from headrace.store.project_schema import SCHEMAS, schema

MAIN = """
workspaces:
  demo: {}
connectors:
  tap-x:
    kind: tap
    install: tap-x==1
  target-y:
    kind: target
    command: [python, y.py]
"""

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "project-folder.md"

FLOW = """
source: tap-x
target: target-y
"""


class Folder:
    """
    A project folder to write files to and load again and again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ: dict[str, str] = {}
        self.write("headrace.yml", MAIN)

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def load(self) -> LoadResult:
        return load_project(self.path, self.environ, home=self.path / "home")

    def problem(self) -> DefinitionError:
        """
        The only problem that there is.
        """
        problems = self.load().problems
        assert len(problems) == 1, [str(each) for each in problems]
        return problems[0]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_small_project_is_read_whole(folder: Folder) -> None:
    """
    What is left out has its default: one workspace, the folder's name, etl.py where it exists.
    """
    folder.write("flows/orders/flow.yml", FLOW)
    folder.write("flows/orders/etl.py", "print()")
    folder.write("flows/orders/requirements.txt", "duckdb  # engine\n\npolars\n")

    result = folder.load()

    [flow] = result.project.flows
    assert result.problems == []
    assert (flow.id, flow.name, flow.workspace) == ("orders", "orders", "demo")
    assert (flow.sources, flow.targets) == (("tap-x",), ("target-y",))
    assert flow.script == ScriptDef(
        folder=folder.path / "flows/orders", requirements=("duckdb  # engine", "", "polars")
    )


def test_every_key_finds_its_place(folder: Folder) -> None:
    """
    The whole format, once.
    """
    folder.write(
        "headrace.yml",
        """
        workspaces:
          prod.example.com:
            environment: {TZ: UTC}
            webhooks: [{url: "https://example.com/h", secret: s, events: [discover]}]
            settings: {quiet: true}
        connectors:
          quickbooks:sandbox:
            kind: tap
            install: |
              tap-quickbooks
              setuptools<81
            python: "3.12"
            executable: tap-qb
            compat: [py39]
            catalog_flag: properties
            discover: false
            secrets: [token]
            settings: {start_date: 2020-01-01, 1: one}
          files:
            kind: target
            command: [python, "${project}/f.py"]
            input: files
        """,
    )
    folder.write(
        "flows/f/flow.yml",
        """
        sources: [quickbooks:sandbox, api]
        targets: [files]
        script: {entry: main.py, requirements: [six], python: "3.11"}
        files: {format: csv, datetimes: utc_us, on_misfit: fail}
        limits: {sync: {memory: 2 GB, no_progress_seconds: 10m, wall: 1h30m, processes: 4}, etl: {memory_bytes: null}}
        tenants:
          a b:
            sources: {quickbooks:sandbox: {config: {k: v}, field_map: {s: {}}, catalog: {streams: []}}}
            targets: {files: }
        """,
    )
    folder.write("flows/f/main.py", "")

    result = folder.load()

    assert result.problems == []
    [workspace], [tap, target], [flow] = result.project.workspaces, result.project.connectors, result.project.flows
    assert (workspace.name, workspace.environment, workspace.settings) == (
        "prod.example.com",
        {"TZ": "UTC"},
        {"quiet": True},
    )
    assert (workspace.webhooks[0].url, workspace.webhooks[0].events) == ("https://example.com/h", ("discover",))
    assert (tap.name, tap.install, tap.python) == ("quickbooks:sandbox", ("tap-quickbooks", "setuptools<81"), "3.12")
    assert (tap.executable, tap.compat, tap.catalog_flag, tap.discover) == ("tap-qb", ("py39",), "--properties", False)
    assert (tap.secrets, tap.settings) == (("token",), {"start_date": "2020-01-01", "1": "one"})
    assert (target.command, target.input) == (("python", f"{folder.path}/f.py"), "files")
    assert flow.script == ScriptDef(
        folder=folder.path / "flows/f", entry="main.py", requirements=("six",), python="3.11"
    )
    assert (flow.files.format, flow.files.datetimes, flow.files.on_misfit) == ("csv", "utc_us", "fail")
    assert flow.limits["sync"] == Limits(
        memory_bytes=2_000_000_000, no_progress_seconds=600, wall_seconds=5400, processes=4
    )
    assert flow.limits["etl"] == Limits()
    [tenant] = flow.tenants
    assert (tenant.tenant, tenant.sources[0].config, tenant.targets[0].config) == ("a b", {"k": "v"}, {})
    assert (tenant.sources[0].field_map, tenant.sources[0].catalog) == ({"s": {}}, {"streams": []})


def test_placeholders_are_filled_in(folder: Folder) -> None:
    """
    Environment, defaults, folders, flow and tenant; a doubled dollar escapes, and what was filled in is left as it is.
    """
    folder.environ = {"TOKEN": "a${tenant}b", "EMPTY": ""}
    folder.write(
        "flows/f/flow.yml",
        """
        source: tap-x
        description: flow ${flow} in ${project}
        tenants:
          acme:
            sources:
              tap-x:
                config:
                  token: ${env:TOKEN}
                  default: ${env:NOBODY:-https://x:y}-${env:EMPTY:-e}-${env:EMPTY}
                  path: ["${home}/${tenant}", "$${not}"]
        """,
    )

    result = folder.load()

    assert result.problems == []
    [flow] = result.project.flows
    assert flow.description == f"flow f in {folder.path}"
    assert flow.tenants[0].sources[0].config == {
        "token": "a${tenant}b",
        "default": "https://x:y-e-",
        "path": [f"{folder.path}/home/acme", "${not}"],
    }


def test_tenants_may_have_files_of_their_own(folder: Folder) -> None:
    """
    The id is the file's name, or what `tenant` says.
    """
    folder.write("flows/f/flow.yml", "source: tap-x\ntenants: {one: }\n")
    folder.write("flows/f/tenants/two.yml", "sources: {tap-x: {config: {id: '${tenant}'}}}")
    folder.write("flows/f/tenants/3.yml", "tenant: acme/ltd".replace("/", " "))

    result = folder.load()

    assert result.problems == []
    assert [tenant.tenant for tenant in result.project.flows[0].tenants] == ["one", "acme ltd", "two"]
    assert result.project.flows[0].tenants[2].sources[0].config == {"id": "two"}


def test_a_project_without_workspaces_has_one(folder: Folder) -> None:
    """
    It is named default.
    """
    folder.write("headrace.yml", "connectors: {}")
    folder.write("flows/f/flow.yml", "source: api")

    result = folder.load()

    assert result.problems == []
    assert result.project.flows[0].workspace == "default"


@pytest.mark.parametrize(
    ("text", "line", "reason", "instruction"),
    [
        ("source: tap-x\ntragets: [target-y]\n", 2, "`tragets` is not a key", "Did you mean `targets`?"),
        ("source: tap-z\n", 1, "no connector tap-z", "Did you mean tap-x?"),
        ("source: target-y\n", 1, "is a target", "kind: tap"),
        ("source: tap-x\nworkspace: dmeo\n", 2, "no workspace dmeo", "Did you mean demo?"),
        ("source: tap-x\n\nlimits:\n  sync:\n    memory: 2\n", 5, "`memory` must be text, not a number", "500 MB"),
        ("source: tap-x\nlimits: {sync: {wall: 10}}\n", 2, "`wall` must be text", "10m"),
        ("source: tap-x\nlimits: {sync: {memory: 2 gigs}}\n", 2, "`memory` has a value", "2 GiB"),
        ("source: tap-x\nlimits: {sync: {memory: 0 B}}\n", 2, "more than nothing", "null"),
        ("source: tap-x\nlimits: {sync: {wall: 1m, wall_seconds: 5}}\n", 2, "given twice", "Keep one"),
        ("source: tap-x\nfiles:\n  format: parkquet\n", 3, "one of: parquet, csv", "Did you mean `parquet`?"),
        ("source: tap-x\nscript: {python: 3.10}\n", 2, "`python` must be text, not a number", "quotes"),
        ("source: tap-x\nscript: nope.py\n", 2, "no file nope.py", "Correct the name"),
        ("source: tap-x\nscript: ../../headrace.yml\n", 2, "not in the flow's folder", "Move the script"),
        ("source: tap-x\nsources: [tap-x]\n", 1, "both", "Keep `sources`"),
        ("source: ${env:NOBODY}\n", 1, "NOBODY is not set", "Set it where the server starts"),
        ("source: ${flwo}\n", 1, "`${flwo}` has no meaning", "Did you mean flow?"),
        ("source: ${tenant}\n", 1, "`${tenant}` has no meaning here", "$${"),
        ("source: tap-x\nsource: tap-x\n", 2, "stands here twice", "Remove"),
        ("source: [tap-x\nname: x\n", 2, "not valid YAML", "Check indentation"),
        ("- source\n", 1, "The file must be a mapping, not a list", ""),
        ("source: tap-x\nname: .nan\n", 2, "cannot be read", "quotes"),
        ("source: tap-x\nscript: {requirements: [-r other.txt]}\n", 2, "refer to another file", "themselves"),
    ],
)
def test_a_wrong_flow_is_said_with_line_reason_and_next_move(
    folder: Folder, text: str, line: int, reason: str, instruction: str
) -> None:
    """
    One problem, in the right place, that a person can act on; the other flows are not touched.
    """
    folder.write("flows/bad/flow.yml", text)
    if "requirements" in text or "python" in text:
        folder.write("flows/bad/etl.py", "")
    folder.write("flows/good/flow.yml", FLOW)

    problem = folder.problem()

    assert (problem.facts["file"], problem.facts["line"]) == ("flows/bad/flow.yml", line)
    assert reason in problem.reason
    assert problem.reason.startswith(f"flows/bad/flow.yml, line {line}: ")
    assert instruction in problem.instruction
    assert [flow.id for flow in folder.load().project.flows] == ["good"]


@pytest.mark.parametrize(
    ("text", "line", "reason", "instruction"),
    [
        ("conectors: {}\n", 1, "`conectors` is not a key", "Did you mean `connectors`?"),
        ("workspaces:\n  'a b': {}\n", 2, "`a b` is not a valid workspace name", "letters"),
        ('workspaces: {"demo\\n": {}}\n', 1, "is not a valid workspace name", "letters"),
        ("connectors:\n  t:\n    kind: tap\n", 2, "not allowed", "either `install`"),
        ("connectors:\n  t:\n    install: x\n", 2, "`t` lacks `kind`", "`tap` reads"),
        ("connectors:\n  t:\n    kind: tap\n    install: x\n    compat: [py38]\n", 5, "Item 1 of `compat`", "py39"),
        ("workspaces:\n  w:\n    webhooks:\n    - {url: ftp://x}\n", 4, "`url` has a value", "http"),
    ],
)
def test_a_wrong_main_file_is_said_likewise(
    folder: Folder, text: str, line: int, reason: str, instruction: str
) -> None:
    """
    headrace.yml is held against its own schema.
    """
    folder.write("headrace.yml", text)

    problem = folder.problem()

    assert (problem.facts["file"], problem.facts["line"]) == ("headrace.yml", line)
    assert reason in problem.reason
    assert instruction in problem.instruction


def test_no_problem_repeats_a_value(folder: Folder) -> None:
    """
    A value may be a secret, also where it stands in the wrong place.
    """
    folder.environ = {"SECRET": "hunter2"}
    folder.write("headrace.yml", "workspaces: {demo: {webhooks: [{url: '${env:SECRET}', secret: [hunter2]}]}}")
    folder.write(
        "flows/f/flow.yml", "source: api\nlimits: {sync: {wall: '${env:SECRET}'}}\ntenants: {t: {sources: hunter2}}"
    )

    problems = folder.load().problems

    assert len(problems) >= 4
    assert "hunter2" not in str([(each.reason, each.instruction, each.facts) for each in problems])


def test_a_wrong_tenant_costs_the_tenant_alone(folder: Folder) -> None:
    """
    In flow.yml or in a file of its own.
    """
    folder.write(
        "flows/f/flow.yml", "source: tap-x\ntenants:\n  bad: {sources: {tap-z: }}\n  good: {sources: {tap-x: }}\n"
    )
    folder.write("flows/f/tenants/worse.yml", "sources:\n  tap-x: {cofnig: {}}\n")

    result = folder.load()

    assert [tenant.tenant for tenant in result.project.flows[0].tenants] == ["good"]
    assert result.lost == {("tenant", "f", "bad"), ("tenant", "f", "worse")}
    assert [(each.facts["file"], each.facts["line"]) for each in result.problems] == [
        ("flows/f/flow.yml", 3),
        ("flows/f/tenants/worse.yml", 2),
    ]


def test_the_last_good_version_stays_in_force(folder: Folder) -> None:
    """
    Connector, flow and tenant that became wrong are those of before; what was deleted is gone.
    """
    folder.write("flows/f/flow.yml", FLOW + "tenants: {a: {sources: {tap-x: {config: {v: 1}}}}, gone: }")
    folder.write("flows/g/flow.yml", "source: api\nname: before")
    before = folder.load().in_force(None)

    folder.write("headrace.yml", MAIN.replace("tap-x==1", "tap-x==1\n    pyhton: '3.12'"))
    folder.write("flows/g/flow.yml", "source: api\nname: []")
    broken = folder.load()

    assert broken.in_force(before).connectors[1] == before.connectors[0]
    assert {flow.id: flow for flow in broken.in_force(before).flows} == {flow.id: flow for flow in before.flows}

    folder.write("headrace.yml", MAIN)
    folder.write("flows/f/flow.yml", FLOW + "tenants: {a: {sources: {nope: }}}")
    result = folder.load()

    [flow] = [flow for flow in result.in_force(before).flows if flow.id == "f"]
    assert [(tenant.tenant, tenant.sources[0].config) for tenant in flow.tenants] == [("a", {"v": 1})]


def test_an_unreadable_main_file_changes_nothing(folder: Folder) -> None:
    """
    The whole project of before stays in force.
    """
    folder.write("flows/f/flow.yml", FLOW)
    before = folder.load().project
    folder.write("headrace.yml", "workspaces: [")

    result = folder.load()

    assert result.lost == {("project",)}
    assert result.in_force(before) is before
    assert result.in_force(None).flows == ()


def test_a_folder_without_project_says_how_to_begin(tmp_path: Path) -> None:
    """
    The next move is `headrace init`.
    """
    result = load_project(tmp_path, {})

    assert "There is no headrace.yml" in result.problems[0].reason
    assert "headrace init" in result.problems[0].instruction


def test_a_flow_of_a_wrong_connector_is_wrong_too(folder: Folder) -> None:
    """
    So both stay in force in the version that fits together.
    """
    folder.write("headrace.yml", MAIN.replace("kind: tap", "kind: tab"))
    folder.write("flows/f/flow.yml", FLOW)

    assert folder.load().lost == {("connector", "tap-x"), ("flow", "f")}


def test_a_folder_that_is_no_flow_is_said(folder: Folder) -> None:
    """
    Unless its name begins with an underscore or a dot.
    """
    for name in ("flows/_shared/x.py", "flows/.git/x", "flows/half/etl.py"):
        folder.write(name, "")

    assert "has no flow.yml" in folder.problem().reason


def test_aliases_and_merges_are_followed(folder: Folder) -> None:
    """
    Own keys win over merged ones, and endless aliases end in a problem.
    """
    folder.write(
        "flows/f/flow.yml",
        """
        source: tap-x
        tenants:
          a: &a {sources: {tap-x: {config: {k: 1}}}}
          b: *a
          c: {<<: *a}
        """,
    )

    [flow] = folder.load().project.flows
    assert flow.tenants[0].sources == flow.tenants[1].sources == flow.tenants[2].sources

    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    folder.write("flows/f/flow.yml", "\n".join(["l0: &l0 [x]", *levels]))

    assert "too large or too deep" in folder.problem().reason


def test_a_change_of_any_definition_changes_the_fingerprint(folder: Folder) -> None:
    """
    Content, a new file or a removed one; not what jobs write elsewhere, and not compiled bytecode.
    """
    flow = folder.write("flows/f/flow.yml", FLOW)
    seen = [fingerprint(folder.path)]
    changes: list[Callable[[], Any]] = [
        lambda: folder.write("flows/f/etl.py", "1"),
        lambda: folder.write("flows/f/etl.py", "22"),
        lambda: folder.write("pipelines/p.yml", ""),
        lambda: os.utime(flow, (1, 1)),
        flow.unlink,
    ]
    for change in changes:
        change()
        seen.append(fingerprint(folder.path))

    assert len(set(seen)) == len(seen)

    folder.write("warehouse/x.duckdb", "data")
    folder.write("flows/f/__pycache__/etl.pyc", "")

    assert fingerprint(folder.path) == seen[-1]


def test_a_scripts_files_are_those_of_its_folder(folder: Folder) -> None:
    """
    Sorted, without definitions (they hold tenants' settings), bytecode and hidden files; the digest names the content.
    """
    for name in ("b/lookup.csv", "etl.py", "flow.yml", "tenants/t.yml", ".env", "__pycache__/x.pyc"):
        folder.write(f"flows/f/{name}", name)
    (folder.path / "flows/f/link.py").symlink_to("etl.py")
    script = ScriptDef(folder=folder.path / "flows/f")

    files = files_of_script(script)

    assert list(files) == ["b/lookup.csv", "etl.py", "link.py"]
    assert files["link.py"] == b"etl.py"
    assert digest_of_files(files) == digest_of_files(dict(reversed(files.items())))
    assert digest_of_files(files) != digest_of_files({**files, "etl.py": b"x"})


def test_a_script_may_not_reach_out_of_its_folder(folder: Folder) -> None:
    """
    A link that leads out is refused with its name.
    """
    folder.write("flows/f/etl.py", "")
    (folder.path / "flows/f/config.yml").symlink_to(folder.path / "headrace.yml")

    with pytest.raises(DefinitionError, match=r"config\.yml in f is a link"):
        files_of_script(ScriptDef(folder=folder.path / "flows/f"))


def test_a_file_whose_name_is_no_text_is_refused(folder: Folder) -> None:
    """
    It could neither be stored nor listed; looking for changes does not mind it.
    """
    odd = folder.write(f"flows/f/{os.fsdecode(bytes([0xFF]))}.csv", "")

    with pytest.raises(DefinitionError, match="udcff"):
        files_of_script(ScriptDef(folder=odd.parent))

    assert fingerprint(folder.path)


def test_a_scripts_folder_has_a_limit(folder: Folder) -> None:
    """
    Data in the flow's folder would be copied to each job. A file larger than all memory is refused like any other.
    """
    folder.write("flows/f/etl.py", "")
    folder.write("flows/f/huge.csv", "")
    os.truncate(folder.path / "flows/f/huge.csv", 2**40)

    with pytest.raises(DefinitionError, match=r"huge\.csv") as caught:
        files_of_script(ScriptDef(folder=folder.path / "flows/f"))

    assert "Move out of it what no job needs" in caught.value.instruction


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schemas_are_valid(name: str) -> None:
    """
    Each is a JSON Schema, and says something about every key.
    """
    Draft202012Validator.check_schema(schema(name))

    assert list(undescribed(schema(name))) == []


def test_the_documented_examples_load(folder: Folder) -> None:
    """
    The three examples of the reference page fit together.
    """
    main, flow, tenant = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    folder.write("headrace.yml", main)
    folder.write("flows/orders/flow.yml", flow)
    folder.write("flows/orders/tenants/other.yml", tenant.replace("acme", "other"))

    result = folder.load()

    assert result.problems == []
    assert [each.tenant for each in result.project.flows[0].tenants] == ["acme", "other"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_is_documented(name: str) -> None:
    """
    The reference page names each key of the schemas.
    """
    page = PAGE.read_text()

    assert [key for key in keys_of(schema(name)) if not re.search(rf"[`\s]{key}[`:]", page)] == []


def keys_of(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node.get("properties", {})
        for value in node.values():
            yield from keys_of(value)


def undescribed(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, rules in node.get("properties", {}).items():
            if isinstance(rules, dict) and not {"description", "$ref"} & rules.keys():
                yield key
        for value in node.values():
            yield from undescribed(value)


@pytest.mark.parametrize(
    ("text", "found"),
    [("2 GB", 2 * 10**9), ("512MiB", 512 * 2**20), ("1.5 KiB", 1536), ("10 kB", 10_000), ("7", 7), (7, 7), ("3B", 3)],
)
def test_sizes_are_read(text: str | int, found: int) -> None:
    """
    Decimal and binary units; a plain number is bytes.
    """
    assert size_bytes(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1 h 30 m", 5400), ("500ms", 0.5), ("2d", 172_800)],
)
def test_times_are_read(text: str, found: float) -> None:
    """
    Units add up; a plain number is seconds.
    """
    assert duration_seconds(text) == found


@pytest.mark.parametrize("text", ["", "x", "1h30", "-1s", "0", "1 week", "1e3", "nan"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """
    Nothing is guessed.
    """
    with pytest.raises(ValueError, match="not a"):
        duration_seconds(text)
    with pytest.raises(ValueError, match="not a"):
        size_bytes(text)


@given(st.text(max_size=200))
def test_no_file_is_so_wrong_that_loading_fails(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """
    Whatever stands in a file, the answer is a result.
    """
    folder = tmp_path_factory.mktemp("any")
    (folder / "headrace.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
    (folder / "flows" / "f").mkdir(parents=True)
    (folder / "flows" / "f" / "flow.yml").write_bytes(text.encode("utf-8", "surrogatepass"))

    assert isinstance(load_project(folder, {}), LoadResult)
