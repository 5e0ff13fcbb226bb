"""
A target on hotglue's own target SDK, over a CRM that is a JSON file: `{name: id}`.

A contact whose name begins with `bad` is refused; one that comes with an id, its own or the one that the id map gives, is updated; one whose name
is there already exists. With `stay` in the settings it handles the first contact and then waits to be asked to hand over, unless the file
of that name is there. Its access token is refreshed at `auth_url`, as OAuth 2 has it.
"""

import json
import time
from pathlib import Path

from hotglue_etl_exceptions import InvalidPayloadError
from hotglue_singer_sdk import typing as th
from hotglue_singer_sdk.target_sdk.auth import OAuthAuthenticator
from hotglue_singer_sdk.target_sdk.client import HotglueSink
from hotglue_singer_sdk.target_sdk.target import TargetHotglue


class Contacts(HotglueSink):
    name = "Contacts"
    endpoint = "/contacts"
    base_url = "http://127.0.0.1"
    unified_schema = None
    allows_externalid = ("Contacts",)

    def preprocess_record(self, record, context):
        return self._target.get_record_id(self.name, record) or record

    def upsert_record(self, record, context):
        file = Path(self.config["file"])
        known = json.loads(file.read_text()) if file.exists() else {}
        name = record["name"]
        if name.startswith("bad"):
            raise InvalidPayloadError(f"{name} is no name")
        if record.get("id"):
            return record["id"], True, {"is_updated": True}
        if name in known:
            return known[name], True, {"existing": True}
        known[name] = f"C-{len(known) + 1}"
        file.write_text(json.dumps(known))
        gate = Path(self.config.get("stay") or ".")
        while not gate.exists() and not self._target._shutdown_requested.is_set():
            time.sleep(0.05)
        return known[name], True, {}


class TargetCrm(TargetHotglue):
    name = "target-crm"
    MAX_PARALLELISM = 1
    SINK_TYPES = (Contacts,)
    config_jsonschema = th.PropertiesList(
        th.Property("file", th.StringType, required=True),
        th.Property("stay", th.StringType),
        th.Property("auth_url", th.StringType),
    ).to_dict()

    @property
    def config_file(self):  # what --access-token of SDK 1.0.51 looks for, and its own targets lack
        return self._config_file_path

    @classmethod
    def access_token_support(cls, connector=None):
        return OAuthAuthenticator, connector.config["auth_url"] if connector else None


if __name__ == "__main__":
    TargetCrm.cli()
