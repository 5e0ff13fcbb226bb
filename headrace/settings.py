"""
The server's settings: read once, frozen, each with its default, unit and one sentence.

Order: the `server` section of headrace.yml < environment variables `HEADRACE_*` < command-line flags. Rooms get values,
not this object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from ruamel.yaml import YAML


class Settings(BaseSettings):
    """
    Every setting of the server; the environment variable is the name in capitals after `HEADRACE_`.
    """

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", frozen=True, extra="ignore")

    home: Path = Field(Path(".headrace"), description="Folder of everything the server keeps on this machine.")
    project: Path | None = Field(
        None, description="Project folder with the definitions; none serves what the API defines."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8450, description="Port to listen on; 0 takes a free one.")
    public_url: str = Field(
        "", description="Address under which others reach the server, for links and child processes."
    )
    root_dialect: Literal["", "hotglue", "matatika", "intuned"] = Field(
        "", description="Dialect also mounted at the root, for clients that cannot take a path."
    )

    database_url: SecretStr | None = Field(None, description="PostgreSQL to use instead of the embedded one.")
    database_pool: int = Field(10, description="Connections to the database per process, at most.")
    pg_user: str | None = Field(
        None, description="System user that runs the embedded PostgreSQL when the server is root."
    )
    pg_bin: Path | None = Field(None, description="Folder with initdb and postgres to use instead of the wheel's.")
    storage_url: str = Field("", description="File store; empty is the folder `files` of the home.")
    storage_options: dict[str, str] = Field(
        default_factory=dict, description="Options of the file store, such as endpoint."
    )

    admin_key: SecretStr | None = Field(None, description="The first admin key; made and printed once when missing.")
    secret_keys: SecretStr | None = Field(
        None,
        description="Keys for secrets at rest, base64, the one in use first; else the file secret.keys of the home.",
    )

    slots: int = Field(4, description="Jobs that one worker runs at once.")
    worker_ttl_seconds: float = Field(10.0, description="A worker silent for this long is taken over.")
    worker_beat_seconds: float = Field(2.0, description="How often a worker says that it is alive.")
    drain_seconds: float = Field(
        30.0, description="Time that running jobs get at shutdown before they are handed back."
    )
    max_crashes: int = Field(3, description="Attempts that may end without a word before a job is parked as failed.")
    session_check_seconds: float = Field(
        60.0, description="How long the check of an automation's login counts while a job runs."
    )

    keep_alive_seconds: int = Field(
        75, description="How long a connection that nobody uses stays open; more than clients and proxies keep theirs."
    )
    body_limit_bytes: int = Field(16 * 2**20, description="Largest request body.")
    wall_seconds: float | None = Field(6 * 3600.0, description="Longest time of one step.")
    no_progress_seconds: float | None = Field(600.0, description="Longest time a tap may send nothing.")
    memory_bytes: int | None = Field(
        None, description="Memory of one step's processes; empty is three quarters of the machine's."
    )
    log_bytes: int = Field(64 * 2**20, description="Largest log of one job; more is dropped with a note.")
    grace_seconds: float = Field(10.0, description="Time between the polite and the hard end of a child.")

    schedule_misfire: Literal["skip", "latest", "all"] = Field(
        "skip",
        description="What becomes of scheduled instants that nobody was there for: let go, the last one run late, or each of the last day run.",
    )
    schedule_grace_seconds: float = Field(
        300.0, description="A scheduled instant that is met within this time still counts as in time."
    )

    matatika_statuses: Literal["v2", "v1"] = Field(
        "v2", description="Words for the statuses of Matatika's jobs: today's five, or the four of 2021."
    )
    git_schemes: tuple[str, ...] = Field(
        ("https", "ssh"), description="Schemes of the repositories that workspaces may be cloned from."
    )
    webhook_timeout_seconds: float = Field(15.0, description="Longest time for a receiver to answer.")
    webhook_private_networks: bool = Field(
        False, description="Whether webhooks may go to loopback and private addresses."
    )
    history_days: int = Field(90, description="Finished jobs are kept this long; 0 keeps them for ever.")
    environment_days: int = Field(
        30,
        ge=0,
        description="Installed environments of connectors and scripts that no job has used for so long are removed; 0 keeps them.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least important line logged.")
    log_format: Literal["auto", "json", "text"] = Field("auto", description="Shape of the server's own log lines.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """
        Leave out the sources nobody was told of.
        """
        return init_settings, env_settings, file_secret_settings


def load_settings(*, file: Path | None = None, **flags: Any) -> Settings:
    """
    Read the settings: *file*'s `server` section, then the environment, then *flags* that are not None.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    environment = Settings(**given)
    explicit = environment.model_fields_set
    from_file = {name: value for name, value in _server_section(file).items() if name not in explicit}
    return Settings(**given, **from_file) if from_file else environment


def _server_section(file: Path | None) -> dict[str, Any]:
    if file is None or not file.is_file():
        return {}
    section = (YAML(typ="safe").load(file.read_text("utf-8")) or {}).get("server") or {}
    return {str(name): value for name, value in section.items()}
