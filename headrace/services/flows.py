"""
Flows: what the project folder defines or was deployed, and what each tenant has linked.

What was deployed goes before the folder's definition of the same name, see `services/deployments.py`.
The definitions in force are the last good ones: a file with a mistake changes nothing but the list of problems.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import structlog

from headrace.core.definitions import FlowDef, LinkDef, Project, ScriptDef, WorkspaceDef
from headrace.core.errors import DefinitionError, NotFoundError
from headrace.core.plan import ConnectorSpec
from headrace.services.announcements import seal_webhooks
from headrace.services.deployed import Deployed
from headrace.store import project_files
from headrace.store.connections import Connections, Role
from headrace.store.database import Connection, Database
from headrace.store.files import FileStore
from headrace.store.gathered import Gathered
from headrace.store.holdings import Held, TenantOfFlow, held_by_tenants
from headrace.store.holdings import LinkOutline as LinkOutline  # dialects name it too, and may not ask the store
from headrace.store.project import load_project
from headrace.store.sealing import Sealer
from headrace.store.workspaces import Workspace, Workspaces

log = structlog.get_logger(__name__)

SHARED_TENANT = "default"
_NOTHING = (Held(), Held())


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOfTenant:
    """
    All that a dialect needs to make a plan.

    Attributes:
        connectors: every connector of the project, by name.
        links: what the tenant has linked in the flow, oldest first.
        shared_links: what the tenant `default` has linked in it: targets that all tenants share.
        script: digest of the flow's stored script folder; None when it has none.
        variables: the workspace's own environment variables.
        metadata: facts about the tenant; None when nobody gave any.
    """

    workspace: Workspace
    flow: FlowDef
    tenant: str
    connectors: Mapping[str, ConnectorSpec]
    links: tuple[LinkOutline, ...]
    shared_links: tuple[LinkOutline, ...] = ()
    script: str | None
    variables: Mapping[str, str]
    metadata: Mapping[str, Any] | None = None


class Flows:
    """
    Args:
        folder: the project folder; None for a server without one.
        home: the server's data folder, for the placeholder `${home}`.
        new_id: makes a UUID.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        workspaces: Workspaces,
        connections: Connections,
        files: FileStore,
        *,
        folder: Path | None,
        home: Path,
        environ: Mapping[str, str],
        new_id: Callable[[], UUID],
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._workspaces = workspaces
        self._connections = connections
        self._files = files
        self._folder = folder
        self._home = home
        self._environ = environ
        self._new_id = new_id
        self.fingerprint = ""
        self.project = Project(folder=folder or Path())
        self.problems: tuple[DefinitionError, ...] = ()
        self._flows: dict[tuple[str, str], FlowDef] = {}
        self._scripts: dict[tuple[str, str], str] = {}
        self.deployed = Deployed()
        self._held = Gathered(self._read_held)
        self._for_plans: dict[str, tuple[Project, Deployed, Mapping[str, ConnectorSpec]]] = {}

    async def of_tenant(self, workspace: Workspace, flow_id: str, tenant: str) -> FlowOfTenant:
        """
        Raises:
            NotFoundError: there is no such flow.
        """
        flow = self.flow(workspace, flow_id)
        held, shared = await self._held.get((workspace.id, flow_id, tenant)) or _NOTHING
        return FlowOfTenant(
            workspace=workspace,
            flow=flow,
            tenant=tenant,
            connectors=self._connectors_for_plans(workspace.name),
            links=held.links,
            shared_links=shared.links,
            script=self._script_of(workspace.name, flow_id),
            variables=workspace.definition.get("environment", {}),
            metadata=held.metadata,
        )

    async def _read_held(self, tenants: Sequence[TenantOfFlow]) -> Mapping[TenantOfFlow, tuple[Held, Held]]:
        """
        Read what each tenant holds, and what the tenant `default` holds beside it.
        """
        shared = {(workspace, flow, SHARED_TENANT) for workspace, flow, _tenant in tenants}
        async with self._database.connection() as connection:
            found = await held_by_tenants(connection, [*{*tenants, *shared}])
        return {
            (workspace, flow, tenant): (
                found[workspace, flow, tenant],
                found[workspace, flow, SHARED_TENANT] if tenant != SHARED_TENANT else Held(),
            )
            for workspace, flow, tenant in tenants
        }

    def _connectors_for_plans(self, workspace: str) -> Mapping[str, ConnectorSpec]:
        """
        Give the connectors of a workspace as plans hold them; made anew only when other definitions are in force.
        """
        known = self._for_plans.get(workspace)
        if known is None or known[0] is not self.project or known[1] is not self.deployed:
            made = {name: _for_plans(spec) for name, spec in self.connectors(workspace).items()}
            known = self._for_plans[workspace] = (self.project, self.deployed, made)
        return known[2]

    def flow(self, workspace: Workspace, flow_id: str) -> FlowDef:
        """
        Raises:
            NotFoundError: the workspace has no such flow.
        """
        deployed = self.deployed.flows.get((workspace.name, flow_id))
        flow = deployed.flow if deployed else self._flows.get((workspace.name, flow_id))
        if flow is None:
            known = sorted(flow.id for flow in self.all() if flow.workspace == workspace.name)
            raise NotFoundError(
                f"There is no flow {flow_id!r} in {workspace.name!r}.",
                f"Known flows: {', '.join(known) or 'none'}.",
                flow=flow_id,
            )
        return flow

    @property
    def loaded(self) -> bool:
        """
        Whether the project folder has been read, or there is none to read.
        """
        return self._folder is None or bool(self.fingerprint)

    def all(self) -> list[FlowDef]:
        deployed = {key: each.flow for key, each in self.deployed.flows.items()}
        return list({**self._flows, **deployed}.values())

    def in_folder(self, workspace: str, flow_id: str) -> bool:
        """
        Tell whether the project folder defines a flow, in force or not.
        """
        return (workspace, flow_id) in self._flows

    def connectors(self, workspace: str) -> dict[str, ConnectorSpec]:
        """
        Give the connectors of a workspace by name: the project's, and those that were deployed to it.
        """
        deployed = {name: each.spec for name, each in self.deployed.connectors_of(workspace).items()}
        return {connector.name: connector for connector in self.project.connectors} | deployed

    def _script_of(self, workspace: str, flow_id: str) -> str | None:
        deployed = self.deployed.flows.get((workspace, flow_id))
        return deployed.script if deployed else self._scripts.get((workspace, flow_id))

    async def reload(self, *, force: bool = False) -> bool:
        """
        Read the project folder again if it has changed; tells whether it had.
        """
        if self._folder is None:
            return False
        fingerprint = await asyncio.to_thread(project_files.fingerprint, self._folder)
        if fingerprint == self.fingerprint and not force:
            return False
        result = await asyncio.to_thread(load_project, self._folder, self._environ, home=self._home)
        problems = list(result.problems)
        await self._put_in_force(result.in_force(self.project if self.fingerprint else None), problems)
        self.problems = tuple(problems)
        for problem in problems:
            log.error("definition refused", reason=problem.reason, instruction=problem.instruction, **problem.facts)
        self.fingerprint = fingerprint
        return True

    async def _put_in_force(self, project: Project, problems: list[DefinitionError]) -> None:
        workspaces = {workspace.name: await self._declare(workspace) for workspace in project.workspaces}
        scripts: dict[tuple[str, str], str] = {}
        flows: dict[tuple[str, str], FlowDef] = {}
        for flow in project.flows:
            key = (flow.workspace, flow.id)
            try:
                if flow.script is not None:
                    scripts[key] = await self._keep_script(flow.script)
            except DefinitionError as problem:
                problems.append(problem)
                if key not in self._flows:
                    continue
                flow = self._flows[key]  # noqa: PLW2901 - the last good version
                if key in self._scripts:
                    scripts[key] = self._scripts[key]
            flows[key] = flow
            if key not in self.deployed.flows:
                async with self._database.transaction() as connection:
                    await self.declare_links(connection, workspaces[flow.workspace], flow)
        self.project, self._flows, self._scripts = project, flows, scripts

    async def _declare(self, workspace: WorkspaceDef) -> Workspace:
        webhooks = seal_webhooks([asdict(hook) for hook in workspace.webhooks], self._sealer, workspace.name)
        return await self._workspaces.declare(
            self._new_id(),
            workspace.name,
            {"environment": workspace.environment, "webhooks": webhooks, "settings": workspace.settings},
        )

    async def declare_links(self, connection: Connection, workspace: Workspace, flow: FlowDef) -> None:
        """
        Link what a flow's definition says that its tenants have linked; what has not changed stays as it is.
        """
        for tenant in flow.tenants:
            declared: list[tuple[Role, LinkDef]] = [("source", link) for link in tenant.sources]
            declared += [("target", link) for link in tenant.targets]
            for role, link in declared:
                await self._connections.declare(
                    connection,
                    self._new_id(),
                    workspace_id=workspace.id,
                    flow_id=flow.id,
                    tenant=tenant.tenant,
                    role=role,
                    connector=link.connector,
                    config=link.config,
                    digest=_digest(link),
                    catalog=link.catalog,
                    field_map=link.field_map,
                )

    async def _keep_script(self, script: ScriptDef) -> str:
        return await self.keep_files(await asyncio.to_thread(project_files.files_of_script, script))

    async def keep_files(self, files: Mapping[str, bytes]) -> str:
        """
        Store what a flow's script finds in its folder under its digest, once, so that a running job is not touched by an edit.
        """
        digest = project_files.digest_of_files(files)
        if await self._files.get(f"scripts/{digest}/.complete") is None:
            for path, data in files.items():
                await self._files.put(f"scripts/{digest}/files/{path}", data)
            await self._files.put(f"scripts/{digest}/.complete", b"")
        return digest


def _digest(link: LinkDef) -> str:
    return hashlib.sha256(msgspec.json.encode(link, order="deterministic")).hexdigest()


def _for_plans(spec: ConnectorSpec) -> ConnectorSpec:
    return msgspec.structs.replace(spec, face=None) if spec.face is not None else spec
