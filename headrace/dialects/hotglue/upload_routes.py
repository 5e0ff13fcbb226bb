"""
hotglue's paths for files: those that a tenant uploads, and those that one picks out of a source's.

Read from the code of its widget (1.4): a form field for each file, and names back. How a tap gets them is not public, so it is ours.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import InvalidError
from headrace.dialects.hotglue.bodies import object_of
from headrace.dialects.hotglue.doors import Guest
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.hotglue.wire import check_id
from headrace.http.forms import files_of
from headrace.http.reply import json_reply
from headrace.services.connections import Place

_PICKED_MOST_BYTES = 256 * 1024


class UploadRoutes:
    """
    One method a path.
    """

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def routes(self) -> list[Route]:
        taps = "/{env_id}/{flow_id}/{tenant}/taps"
        return [
            Route(f"{taps}/file", self.uploaded, methods=["GET"]),
            Route(f"{taps}/file", self.upload, methods=["POST"]),
            Route(f"{taps}/file", self.clear, methods=["DELETE"]),
            Route(f"{taps}/sheets", self.sheets, methods=["GET"]),
            Route(f"{taps}/sftp", self.sftp, methods=["GET"]),
            Route(f"{taps}/{{tap}}/files", self.picked, methods=["GET"]),
            Route(f"{taps}/{{tap}}/files", self.pick, methods=["POST"]),
        ]

    async def uploaded(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        return json_reply(await self._tenancy.uploads.list(*self._of(guest)))

    async def upload(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        files = files_of(await request.body(), request.headers.get("content-type", ""))
        await self._tenancy.uploads.save(*self._of(guest), files)
        return json_reply({})

    async def clear(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        await self._tenancy.uploads.clear(*self._of(guest))
        return json_reply({})

    async def picked(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        linked = await self._tenancy.linking.get(self._place(guest, request))
        found = linked.config.get("files")
        return json_reply(found if isinstance(found, list) and guest.sees_settings_of(linked) else [])

    async def pick(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        files: Any = object_of(await request.body()).get("files")
        if not isinstance(files, list) or len(msgspec.json.encode(files)) > _PICKED_MOST_BYTES:
            raise InvalidError(
                "The field `files` is not a list of files.", "Send the files that were picked.", field="files"
            )
        await self._tenancy.linking.patch(self._place(guest, request), config={"files": files})
        return json_reply({})

    async def sheets(self, request: Request) -> Response:
        await self._tenancy.doors.enter(request, Scope.READ)
        raise InvalidError("Google's sheets cannot be listed here.", "Give the sheet's id in the link's `config`.")

    async def sftp(self, request: Request) -> Response:
        await self._tenancy.doors.enter(request, Scope.READ)
        raise InvalidError("Folders of an SFTP server cannot be listed here.", "Give the path in the link's `config`.")

    def _of(self, guest: Guest) -> tuple[UUID, str, str]:
        return guest.workspace.id, guest.tenant, self._tenancy.flows.flow(guest.workspace, guest.flow).id

    def _place(self, guest: Guest, request: Request) -> Place:
        workspace_id, tenant, flow = self._of(guest)
        return Place(workspace_id, tenant, flow, "source", check_id(request.path_params["tap"], "tap"))
