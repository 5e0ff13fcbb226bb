"""
Fresh access tokens of what a tenant has linked.

A refresh token that rotates is good once: whoever spends it beside somebody else shuts that one out. So tokens are refreshed by one job
per connection at a time, which runs the connector with `--access-token` and saves what it rewrites; all who ask meanwhile wait
for that job, and a token that is good for some time yet is given as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.core.actor import Actor
from headrace.core.errors import ActiveJobError, BackpressureError, InvalidError
from headrace.core.job import Job, NewJob
from headrace.core.plan import AccessToken, ConfigRef, ConnectorSpec, Plan
from headrace.core.state import JobState
from headrace.dialects.hotglue.asking import Asked, Asking
from headrace.dialects.hotglue.connector_names import definition_of
from headrace.dialects.hotglue.short_jobs import PRIORITY, begun, ended
from headrace.services.connections import Linked, Linking, Place, Role, Workspace
from headrace.services.flows import FlowOfTenant, Flows
from headrace.services.jobs import Jobs

DIALECT: Final = "hotglue-access-token"

# On these words connectors of hotglue's SDK refresh their token by themselves.
NO_TOKEN: Final = "Connector doesn't support get access token"  # noqa: S105 - a message

FRESH_SECONDS: Final = 300
"""A token that is good for longer is given as it is; hotglue's SDK wants more than 120 seconds."""

SLOT_SECONDS: Final = 10.0
"""How long a refresh may wait for a worker. A tap that asks holds a slot itself, so all slots may be waiting for one."""

TOKEN_SECONDS: Final = 240.0
"""How long a refresh may take; hotglue's SDK waits for 300 seconds."""

_ROLES: Final[Mapping[Role, tuple[str, ...]]] = {
    "source": ("tap",),
    "target": ("target",),
    "connector": ("tap", "target"),
}


class HotglueAccessToken:
    """
    Refreshes of tokens, as far as the core has to know them; see `headrace.core.ports.Dialect`. Nobody is told of them.
    """

    name = DIALECT
    subscription = ""

    def details(self, job: Job) -> dict[str, Any]:
        return {"job_id": job.public_id, "tenant": job.tenant, "flow_id": job.definition, **job.details}

    def topic(self, _job: Job) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Token:
    """
    Attributes:
        expires_in: seconds since 1970 at which it ends, as hotglue has it; None when nobody knows.
    """

    access_token: str
    expires_in: int | None


def compile_refresh(of: FlowOfTenant, link: Linked, spec: ConnectorSpec, asked: Asked) -> tuple[NewJob, Plan]:
    """
    Make the job and the plan of a refresh.
    """
    new = NewJob(
        id=asked.id,
        workspace_id=of.workspace.id,
        workspace=of.workspace.name,
        tenant=of.tenant,
        dialect=DIALECT,
        definition=of.flow.id,
        public_id=asked.job_id,
        root=f"{of.tenant}/flows/{of.flow.id}/access-token/{asked.id}",
        name=f"{of.flow.id}-{link.connector}-access-token-{asked.now:%Y%m%d-%H%M%S}",
        trigger="access-token",
        started_by=asked.by,
        details={"connection": str(link.id), "entity_type": link.role, "entity_id": link.connector},
    )
    step = AccessToken(
        name="access-token",
        limits=asked.limits,
        connector=spec,
        # The connector must not ask us for what it is being asked for here.
        config=ConfigRef(connection=str(link.id), extra={"_refresh_token_via_hg_api": False}),
    )
    variables = {
        "TENANT": of.tenant,
        "USER_ID": of.tenant,
        "FLOW": of.flow.id,
        "ENV_ID": of.workspace.name,
        "JOB_ID": asked.job_id,
        "TAP" if spec.kind == "tap" else "TARGET": link.connector,
        "API_URL": asked.api_url,
    }
    plan = Plan(
        steps=(step,),
        key=f"{DIALECT}:{link.id}",
        priority=PRIORITY,
        variables={**of.variables, **variables},
        snapshots=False,
    )
    return new, plan


class AccessTokens:
    """
    Args:
        asking: makes what surrounds a call.
    """

    def __init__(
        self,
        flows: Flows,
        linking: Linking,
        jobs: Jobs,
        asking: Asking,
        *,
        slot_seconds: float = SLOT_SECONDS,
    ) -> None:
        self._flows = flows
        self._linking = linking
        self._jobs = jobs
        self._asking = asking
        self._slot_seconds = slot_seconds

    async def find(self, workspace: Workspace, flow: str, tenant: str, connector: str) -> Linked | None:
        """
        Find what *connector* names among what the tenant has linked in a flow: its id, or that without `tap-` or `target-`.
        """
        links = await self._linking.of_tenant(workspace.id, tenant, flow)
        names = {connector, f"tap-{connector}", f"target-{connector}"}
        found = [link for link in links if link.connector in names]
        return next((link for link in found if link.connector == connector), next(iter(found), None))

    async def give(self, actor: Actor, workspace: Workspace, link: Linked, *, refresh: bool = False) -> Token:
        """
        Give a token of a connection that is good for some minutes, refreshed if need be; *refresh* asks for a new one at all events.

        Raises:
            InvalidError: the connector gives none, or the account refuses its credentials.
            BackpressureError: no worker was free.
        """
        of = await self._flows.of_tenant(workspace, link.flow_id, link.tenant)
        spec = _spec(of, link)
        if spec is None:
            raise InvalidError(NO_TOKEN)
        kept = _token_in(link)
        if kept is not None and not refresh and (kept.expires_in or 0) - self._asking.now().timestamp() > FRESH_SECONDS:
            return kept
        origin = await self._origin(link)
        job = await self._refresh(
            await self._flows.of_tenant(workspace, origin.flow_id, origin.tenant), origin, spec, actor
        )
        if not await begun(self._jobs, job, self._slot_seconds):
            raise InvalidError(NO_TOKEN) if actor.of_job else _busy()
        job = await ended(self._jobs, job, TOKEN_SECONDS)
        if job.state is not JobState.COMPLETED:
            raise _refused(job)
        found = _token_in(await self._linking.get(_place_of(origin)))
        if found is None:
            raise InvalidError("The connector was linked anew in the meantime.", "Ask again.")
        return found

    async def _refresh(self, of: FlowOfTenant, link: Linked, spec: ConnectorSpec, actor: Actor) -> Job:
        """
        Begin a refresh, or join the one that is under way.
        """
        try:
            return (await self._jobs.submit(*compile_refresh(of, link, spec, self._asking(by=actor.name)))).job
        except ActiveJobError:
            found = await self._jobs.history(
                link.workspace_id, dialect=DIALECT, details={"connection": str(link.id)}, limit=1
            )
            if not found:
                raise
            return found[0]

    async def _origin(self, link: Linked) -> Linked:
        """
        Give the connection that holds the settings: a symlink's tokens are those of where it leads.
        """
        symlink = link.symlink
        if symlink is None:
            return link
        return await self._linking.get(
            Place(link.workspace_id, symlink.tenant, symlink.flow, symlink.role, link.connector)
        )


def _place_of(link: Linked) -> Place:
    return Place(link.workspace_id, link.tenant, link.flow_id, link.role, link.connector)


def _spec(of: FlowOfTenant, link: Linked) -> ConnectorSpec | None:
    for side in _ROLES[link.role]:
        spec = definition_of(of.connectors, link.connector, "tap" if side == "tap" else "target")
        if spec is not None and spec.access_token:
            return spec
    return None


def _token_in(link: Linked) -> Token | None:
    token, expires = link.config.get("access_token"), link.config.get("expires_in")
    if not isinstance(token, str) or not token:
        return None
    try:
        return Token(token, int(expires) if expires is not None else None)
    except (TypeError, ValueError):
        return Token(token, None)


def _refused(job: Job) -> InvalidError:
    cause = job.cause or next((step.cause for step in job.steps if step.cause is not None), None)
    return InvalidError(cause.sentence if cause else "The connector gave no access token.")


def _busy() -> BackpressureError:
    return BackpressureError("No worker was free to refresh the token.", "Ask again in a moment.")
