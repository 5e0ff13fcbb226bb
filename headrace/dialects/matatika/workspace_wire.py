"""
What callers send of a workspace, field by field, and which repository its project comes out of.

Source: the page "Workspaces" of Matatika's public documentation, and the server's published OpenAPI file. Credentials in `repositoryUrl` are
shown to nobody: they are kept sealed, the address comes back masked, and a masked one that is sent unchanged keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.core.errors import InvalidError
from headrace.core.repository import MASK, SCHEMES, address_of, check_branch, check_directory
from headrace.dialects.matatika.wire import Fields
from headrace.services.field_problems import FieldProblem, refuse
from headrace.services.shelf import Resource

SECRETS: Final = frozenset({"deploymentSecret", "sshPrivateKey", "githubInstallationId"})
"""Fields that only those see who may define things."""

_TEXTS: Final = (
    "alias", "name", "repositoryUrl", "repositoryBranch", "repositoryDirectory", "githubInstallationId",
    "deploymentSecret", "sshPrivateKey", "defaultEnvironment", "pipelinesImage", "imageUrl",
)  # fmt: skip
_LONGEST: Final = {"imageUrl": 699_052, "sshPrivateKey": 20_000}
_LONGEST_TEXT: Final = 2000
_DOMAIN: Final = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    Where a workspace's project comes from.

    Attributes:
        url: free of secrets; empty for a new project.
        shown: the same with a mask where a secret was.
        opening: what opens the repository, as the plan's sealed input has it; empty for a public one.
    """

    url: str = ""
    shown: str = ""
    branch: str = ""
    directory: str = ""
    opening: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceFields:
    """
    What was set of a workspace over the API.

    Attributes:
        public: by the names of the wire.
        secret: the same for `SECRETS`; and `repository`, what opens the repository.
    """

    public: Mapping[str, Any] = field(default_factory=dict)
    secret: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, Any]:
        return {**self.public, **{name: value for name, value in self.secret.items() if name in SECRETS}}

    @property
    def repository(self) -> str:
        return str(self.public.get("repositoryUrl") or "")

    def source(self, schemes: Collection[str]) -> Source:
        """
        Say where the project comes from.

        Raises:
            InvalidError: the repository's scheme may not be cloned any more.
        """
        if not self.repository:
            return Source()
        key = self.secret.get("sshPrivateKey")
        return Source(
            url=address_of(self.repository, schemes).url,
            shown=self.repository,
            branch=str(self.public.get("repositoryBranch", "")),
            directory=str(self.public.get("repositoryDirectory", "")),
            opening={**self.secret.get("repository", {}), **({"ssh_key": str(key)} if key else {})},
        )


def fields_of(kept: Resource | None) -> WorkspaceFields:
    """
    Read what is kept of a workspace.
    """
    return WorkspaceFields(public=kept.body, secret=kept.secret) if kept else WorkspaceFields()


def workspace_in(
    body: Mapping[str, Any], before: WorkspaceFields, *, schemes: Collection[str] = SCHEMES
) -> WorkspaceFields:
    """
    Lay what a caller sent over what was there; a field that is missing stays, an empty one is taken back.

    Raises:
        FieldsError: fields are wrong.
    """
    fields = Fields(body)
    sent: dict[str, Any] = {name: fields.text(name).strip() for name in _TEXTS if name in body}
    sent |= {"domains": list(fields.texts("domains"))} if "domains" in body else {}
    sent |= {"appProperties": fields.properties("appProperties")} if "appProperties" in body else {}
    problems = [*fields.problems, *_problems(sent)]
    secret = dict(before.secret)
    if sent.get("repositoryUrl"):
        try:
            sent["repositoryUrl"], secret["repository"] = _repository(sent["repositoryUrl"], before, schemes)
        except InvalidError as error:
            problems.append(FieldProblem("repositoryUrl", None, str(error), "Pattern"))
    refuse("workspace", problems)
    if "repositoryUrl" in sent and not sent["repositoryUrl"]:
        secret.pop("repository", None)
    if sent.get("repositoryDirectory"):
        sent["repositoryDirectory"] = check_directory(sent["repositoryDirectory"])
    public = {**before.public, **{name: value for name, value in sent.items() if name not in SECRETS}}
    secret |= {name: value for name, value in sent.items() if name in SECRETS and value != MASK}
    return WorkspaceFields(
        public={name: value for name, value in public.items() if value not in ("", None)},
        secret={name: value for name, value in secret.items() if value},
    )


def _problems(sent: Mapping[str, Any]) -> list[FieldProblem]:
    found = []
    if not sent.get("name", "x"):
        found.append(FieldProblem("name", "", "must not be blank", "NotBlank"))
    for name, value in sent.items():
        most = _LONGEST.get(name, _LONGEST_TEXT)
        if isinstance(value, str) and len(value) > most:
            found.append(FieldProblem(name, None, f"must be at most {most} characters", "Size"))
    found += [
        FieldProblem("domains", each, "must be like example.org, without @", "Pattern")
        for each in sent.get("domains", ())
        if not _DOMAIN.fullmatch(each)
    ]
    if sent.get("imageUrl") and not sent["imageUrl"].startswith("data:"):
        found.append(FieldProblem("imageUrl", None, "must be a data URL", "Pattern"))
    for name, check in (("repositoryBranch", check_branch), ("repositoryDirectory", check_directory)):
        try:
            check(sent.get(name, ""))
        except InvalidError as error:
            found.append(FieldProblem(name, sent[name], str(error), "Pattern"))
    return found


def _repository(text: str, before: WorkspaceFields, schemes: Collection[str]) -> tuple[str, dict[str, str]]:
    """
    Give an address as it is shown, and what opens it.
    """
    if text == before.repository:
        return text, dict(before.secret.get("repository", {}))
    address = address_of(text, schemes)
    if MASK in (address.user, address.password):
        raise InvalidError(
            "The address has changed and its credentials are masked.", "Send the credentials with it.", field="url"
        )
    if address.password:
        return address.shown, {"user": address.user, "password": address.password}
    return address.shown, {"token": address.user} if address.user else {}
