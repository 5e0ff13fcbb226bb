"""
What a person meets who links a connector: its name, its picture, the form, and where the owner of the account gives consent.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field


class OAuthApp(Struct, frozen=True, kw_only=True):
    """
    How consent is got and turned into tokens: the authorization code grant of RFC 6749, with PKCE (RFC 7636).

    Attributes:
        authorize_url: where the owner is asked; `{name}` stands for that setting of the connection.
        token_url: where the code is exchanged; `{name}` as above.
        client_authentication: how the client proves itself there: in the `body`, or by HTTP `basic`.
        parameters: sent to *authorize_url* besides the usual ones, such as `access_type`.
        keep: query parameters of the way back that become settings, such as QuickBooks' `realmId`.
        redirect_url: a page of one's own that passes `code` and `state` on; empty for the server's.
    """

    authorize_url: str
    token_url: str
    client_id: str
    client_secret: str = ""
    scopes: tuple[str, ...] = ()
    pkce: bool = True
    client_authentication: Literal["body", "basic"] = "body"
    parameters: dict[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    redirect_url: str = ""


class ConnectorFace(Struct, frozen=True, kw_only=True):
    """
    Attributes:
        label: what people call it; empty for the connector's name.
        icon: URL of a picture; empty for none.
        form: settings that are asked for, by name: `label` and `description` of each.
        oauth: None for connectors that are linked by the form alone.
    """

    label: str = ""
    icon: str = ""
    form: dict[str, dict[str, str]] = field(default_factory=dict)
    oauth: OAuthApp | None = None
