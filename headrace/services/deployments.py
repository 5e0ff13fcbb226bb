"""
Deploying flows and connectors to a running server: versions that never change, and one of them in force.

A flow or connector is owned either by the project folder or by deployments. Deploying to one that the folder owns is refused unless
it is to be taken over; from then on what was deployed is in force, whatever the folder says, until the deployments are forgotten. A
job keeps what it was compiled with, whatever is deployed meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog

from headrace.core.definitions import FlowDef
from headrace.core.errors import ConflictError, NotFoundError, OwnedByFolderError, SecretError
from headrace.core.plan import ConnectorSpec
from headrace.services.deployed import Deployed, DeployedConnector, DeployedFlow
from headrace.services.flows import Flows
from headrace.store.database import Connection, Database
from headrace.store.deployments import Deployable, Kind, NewVersion
from headrace.store.deployments import Deployments as DeploymentStore
from headrace.store.deployments import Version as Version  # the API names it too, and may not ask the store
from headrace.store.files import FileStore
from headrace.store.project_upload import flow_from_json, read_connector, read_upload, to_json
from headrace.store.workspaces import Workspace

log = structlog.get_logger(__name__)

API_SOURCE = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """
    What goes with whatever is deployed.

    Attributes:
        by: name of the key that asks.
        take_over: from the project folder, should that define the same.
    """

    by: str
    message: str = ""
    take_over: bool = False


@dataclass(frozen=True, slots=True)
class Deployment:
    """
    What became of a deployment.

    Attributes:
        new: False when the same content had been deployed before, under the same number.
        changed: False when it was in force already.
    """

    version: Version
    new: bool
    changed: bool


class Deployments:
    """
    What may be asked about deployments; whoever calls has checked the actor's scope.
    """

    def __init__(self, database: Database, store: DeploymentStore, flows: Flows, files: FileStore) -> None:
        self._database = database
        self._store = store
        self._flows = flows
        self._files = files
        self._fingerprint: str | None = None

    async def tick(self) -> None:
        """
        Put in force what was deployed on whatever node since the last look.
        """
        fingerprint = await self._store.fingerprint()
        if fingerprint == self._fingerprint:
            return
        flows: dict[tuple[str, str], DeployedFlow] = {}
        connectors: dict[tuple[str, str], DeployedConnector] = {}
        try:
            in_force = await self._store.in_force()
        except SecretError as error:
            log.error("deployments cannot be read", reason=error.reason, instruction=error.instruction)
            return
        for workspace, version, content in in_force:
            key, definition = (workspace, version.name), content["definition"]
            if version.kind == "flow":
                flow = replace(flow_from_json(definition), workspace=workspace)
                script = version.script if flow.script else None
                flows[key] = DeployedFlow(flow=flow, script=script, number=version.number)
            else:
                spec = msgspec.convert(definition, ConnectorSpec)
                connectors[key] = DeployedConnector(spec=spec, number=version.number)
        self._flows.deployed = Deployed(flows=flows, connectors=connectors)
        self._fingerprint = fingerprint

    async def deploy_flow(
        self, workspace: Workspace, flow_id: str, files: Mapping[str, bytes], wish: Wish
    ) -> Deployment:
        """
        Put a flow in force as its files say, from the next job on; with a mistake in them nothing is changed.

        Raises:
            DefinitionError, InvalidError, TooLargeError: as `read_upload`.
            OwnedByFolderError: the project folder defines the flow, and it is not to be taken over.
        """
        upload = await asyncio.to_thread(
            read_upload,
            flow_id,
            files,
            workspace=workspace.name,
            variables=workspace.definition.get("environment", {}),
            connectors=self._flows.connectors(workspace.name),
        )
        definition = to_json(upload.flow)
        script = await self._flows.keep_files(upload.files) if upload.files else None
        new = NewVersion(
            of=Deployable(workspace.id, "flow", flow_id),
            digest=_digest_of([definition, dict(upload.definitions), script]),
            script=script,
            file_count=len(files),
            size_bytes=sum(map(len, files.values())),
            message=wish.message,
            deployed_by=wish.by,
            content={"definition": definition, "files": dict(upload.definitions)},
        )
        in_folder = self._flows.in_folder(workspace.name, flow_id)
        return await self._deploy(workspace, new, wish, in_folder=in_folder, flow=upload.flow)

    async def deploy_connector(
        self, workspace: Workspace, name: str, body: Mapping[str, Any], wish: Wish
    ) -> Deployment:
        """
        Put a connector in force in one workspace, from the next job on; raises what `deploy_flow` raises.
        """
        spec = read_connector(name, body)
        self._refuse_other_kind(workspace, spec)
        definition = msgspec.to_builtins(spec)
        new = NewVersion(
            of=Deployable(workspace.id, "connector", name),
            digest=_digest_of(definition),
            script=None,
            file_count=0,
            size_bytes=len(msgspec.json.encode(body)),
            message=wish.message,
            deployed_by=wish.by,
            content={"definition": definition, "body": dict(body)},
        )
        in_folder = any(each.name == name for each in self._flows.project.connectors)
        return await self._deploy(workspace, new, wish, in_folder=in_folder)

    async def versions(self, workspace: Workspace, kind: Kind, name: str) -> list[Version]:
        """
        List the versions of a flow or connector, newest first.

        Raises:
            NotFoundError: none was ever deployed.
        """
        found = await self._store.versions(Deployable(workspace.id, kind, name))
        if not found:
            raise _not_deployed(kind, name)
        return found

    async def version(self, workspace: Workspace, kind: Kind, name: str, number: int | None = None) -> Version:
        """
        Give one version; None is the one in force. Raises what `versions` raises, and the same for an unknown number.
        """
        found = await self.versions(workspace, kind, name)
        for version in found:
            if version.current if number is None else version.number == number:
                return version
        known = ", ".join(str(each.number) for each in found[:20])
        raise NotFoundError(f"{kind.capitalize()} {name!r} has no version {number}.", f"Its versions: {known}.")

    async def files_of(self, version: Version) -> dict[str, bytes]:
        """
        Give every file that a version of a flow was deployed with.
        """
        content = await self._store.content(version)
        found = {path: text.encode() for path, text in content.get("files", {}).items()}
        if version.script is not None:
            prefix = f"scripts/{version.script}/files"
            for path in await self._files.sizes(prefix):
                found[path] = await self._files.get(f"{prefix}/{path}") or b""
        return dict(sorted(found.items()))

    async def body_of(self, version: Version) -> dict[str, Any]:
        """
        Give what a version of a connector was deployed with, its settings included.
        """
        body: dict[str, Any] = (await self._store.content(version)).get("body", {})
        return body

    async def roll_back(
        self, workspace: Workspace, kind: Kind, name: str, number: int | None, *, by: str
    ) -> Deployment:
        """
        Put another version in force; None is the one numbered before the one that is.

        Raises:
            NotFoundError: there is no such version.
            ConflictError: nothing stands before it, or it names connectors that are gone.
        """
        found = await self.versions(workspace, kind, name)
        if number is None:
            current = next(each for each in found if each.current)
            earlier = [each for each in found if each.number < current.number]
            if not earlier:
                raise ConflictError(
                    f"Version {current.number} of {kind} {name!r} is the first.",
                    "Name the version to put in force, or deploy another.",
                )
            number = earlier[0].number
        version = await self.version(workspace, kind, name, number)
        content = await self._store.content(version)
        flow = flow_from_json(content["definition"]) if kind == "flow" else None
        if flow is not None:
            self._refuse_unknown_connectors(workspace, flow)
        of = Deployable(workspace.id, kind, name)
        async with self._database.transaction() as connection:
            before = await self._store.lock(connection, of)
            await self._put_in_force(connection, workspace, of, number, by, flow)
        return await self._done(workspace, of, number, new=False, changed=before != number)

    async def forget(self, workspace: Workspace, kind: Kind, name: str) -> None:
        """
        Take a flow or connector out of force and forget its versions; what the project folder says of it is in force again.

        Jobs that were made of it stay, and those that run go on.

        Raises:
            NotFoundError: none was ever deployed.
            ConflictError: a flow in force needs the connector.
        """
        of = Deployable(workspace.id, kind, name)
        if kind == "connector" and not any(each.name == name for each in self._flows.project.connectors):
            self._refuse_needed(workspace, name)
        async with self._database.transaction() as connection:
            await self._store.lock(connection, of)
            if not await self._store.forget(connection, of):
                raise _not_deployed(kind, name)
        await self.tick()
        await self._flows.reload(force=True)  # links that the folder declares

    async def _deploy(
        self,
        workspace: Workspace,
        new: NewVersion,
        wish: Wish,
        *,
        in_folder: bool,
        flow: FlowDef | None = None,
    ) -> Deployment:
        async with self._database.transaction() as connection:
            before = await self._store.lock(connection, new.of)
            if before is None and in_folder and not wish.take_over:
                raise OwnedByFolderError(
                    f"The project folder of the server defines the {new.of.kind} {new.of.name!r}.",
                    "Change it there, or take it over with `--take-over`: what is deployed is in force then, and the folder's is not.",
                )
            number, is_new = await self._store.write(connection, new)
            await self._put_in_force(connection, workspace, new.of, number, wish.by, flow)
        return await self._done(workspace, new.of, number, new=is_new, changed=before != number)

    async def _put_in_force(
        self,
        connection: Connection,
        workspace: Workspace,
        of: Deployable,
        number: int,
        by: str,
        flow: FlowDef | None,
    ) -> None:
        await self._store.put_in_force(connection, of, number, by=by)
        if flow is not None:
            await self._flows.declare_links(connection, workspace, flow)

    async def _done(self, workspace: Workspace, of: Deployable, number: int, *, new: bool, changed: bool) -> Deployment:
        await self.tick()
        return Deployment(await self.version(workspace, of.kind, of.name, number), new=new, changed=changed)

    def _refuse_unknown_connectors(self, workspace: Workspace, flow: FlowDef) -> None:
        known = {*self._flows.connectors(workspace.name), API_SOURCE}
        gone = [name for name in (*flow.sources, *flow.targets) if name not in known]
        if gone:
            raise ConflictError(
                f"That version needs the connector {gone[0]}, which is not there any more.", "Deploy it first."
            )

    def _refuse_needed(self, workspace: Workspace, connector: str) -> None:
        using = self._using(workspace, connector)
        if using:
            raise ConflictError(
                f"The connector {connector} is needed by: {', '.join(using)}.", "Deploy these flows without it first."
            )

    def _refuse_other_kind(self, workspace: Workspace, spec: ConnectorSpec) -> None:
        known = self._flows.connectors(workspace.name).get(spec.name)
        using = self._using(workspace, spec.name)
        if known is not None and known.kind != spec.kind and using:
            raise ConflictError(
                f"The connector {spec.name} is a {known.kind}, and flows need it as such: {', '.join(using)}.",
                "Give the new one another name.",
            )

    def _using(self, workspace: Workspace, connector: str) -> list[str]:
        return sorted(
            flow.id
            for flow in self._flows.all()
            if flow.workspace == workspace.name and connector in (*flow.sources, *flow.targets)
        )


def _digest_of(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _not_deployed(kind: Kind, name: str) -> NotFoundError:
    return NotFoundError(
        f"No version of the {kind} {name!r} was deployed here.",
        f"Deploy one with `headrace {kind} deploy {name}`; what the project folder defines has no versions.",
    )
