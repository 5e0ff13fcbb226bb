"""
Who may enter a path, and what they may see there.

hotglue's environment key may do all; personal keys what their role says; a public key is in every browser that shows the widget, so
it may link, run and schedule, but neither list tenants nor see secrets. A tenant token (`token` in the query) vouches for one tenant:
with it a public key sees that tenant's secrets. The workspace setting `require_tenant_token` refuses public keys without one on
every path of a tenant.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from headrace.core.actor import Actor, Scope
from headrace.core.errors import ForbiddenError
from headrace.dialects.hotglue.wire import check_id
from headrace.http.auth import actor_of
from headrace.services.access import Access
from headrace.services.connections import Linked, Workspace
from headrace.services.tenant_tokens import TenantTokens

PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Guest:
    """
    Somebody who was let in.

    Attributes:
        tenant: of the path; empty where it has none.
        flow: of the path; empty where it has none.
        vouched: a tenant token for this tenant was sent.
    """

    actor: Actor
    workspace: Workspace
    flow: str
    tenant: str
    vouched: bool

    @property
    def sees_secrets(self) -> bool:
        """
        Whether they may see secrets of this tenant.
        """
        return self.vouched or self.actor.may(Scope.SECRETS)

    def sees_settings_of(self, link: Linked) -> bool:
        """
        Whether they may see the settings of a connection. A token vouches for its tenant alone: what a symlink shows may be another's.
        """
        own = link.symlink is None or link.symlink.tenant == self.tenant
        return self.sees_secrets and (own or self.actor.may(Scope.SECRETS))


class Doors:
    """
    The one way into hotglue's paths.
    """

    def __init__(self, access: Access, tokens: TenantTokens) -> None:
        self._access = access
        self._tokens = tokens

    async def enter(self, request: Request, scope: Scope, *, private: bool = False) -> Guest:
        """
        Let somebody in who may do *scope* in the path's environment.

        A *private* path is not for public keys, unless a token vouches for its tenant.

        Raises:
            UnauthenticatedError: no key, or one that is not known.
            NotFoundError: there is no such environment, or not for this key.
            ForbiddenError: the key may not do this, or the token does not vouch for the tenant.
        """
        return await self.enter_for(request, scope, None, private=private)

    async def enter_for(
        self, request: Request, scope: Scope, tenant_asked: str | None, *, private: bool = False
    ) -> Guest:
        """
        Let somebody in as `enter` does, to a path whose tenant stands elsewhere in the request.
        """
        actor = await actor_of(request, self._access, in_a_page=True)
        path = request.path_params
        ids = {name: check_id(path[name], name) for name in ("env_id", "flow_id", "tenant") if name in path}
        workspace = await self._access.workspace(actor, ids["env_id"], scope)
        tenant = tenant_asked or ids.get("tenant", "")
        vouched = await self._vouched(request, workspace, tenant)
        if actor.role == PUBLIC and not vouched:
            if private:
                raise ForbiddenError(
                    "A public key may not do this.", "Use an environment key, on a server and never in a browser."
                )
            if tenant and workspace.definition.get("settings", {}).get("require_tenant_token"):
                raise ForbiddenError(
                    "This environment wants a tenant token with a public key.",
                    "Send one as `token`, signed by RS256 with the environment's private key.",
                )
        return Guest(actor, workspace, ids.get("flow_id", ""), tenant, vouched)

    async def workspace(self, key: str | None, id_or_name: str, scope: Scope) -> Workspace:
        """
        Give the workspace that stands elsewhere than in the path, to the holder of a key; raises what `enter` raises.
        """
        return await self._access.workspace(await self._access.authenticate(key), id_or_name, scope)

    async def workspace_of(self, actor: Actor) -> Workspace:
        """
        Give the workspace of somebody who has only one.
        """
        return await self._access.workspace(actor, str(actor.workspace_id), Scope.LINK)

    async def _vouched(self, request: Request, workspace: Workspace, tenant: str) -> bool:
        token = request.query_params.get("token")
        if not token or not tenant:
            return False
        await self._tokens.check(workspace.id, tenant, token)
        return True
