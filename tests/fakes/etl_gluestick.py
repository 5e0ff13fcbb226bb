"""
An ETL script on gluestick, as hotglue's users write them; needs gluestick in its environment.

Contacts become what the target takes, with ids from the id map of earlier exports; a snapshot keeps all that were ever seen. A contact named
`forbidden` is an error, told by `gluestick.exception`.
"""

import os

import gluestick as gst

ROOT = os.environ["ROOT_DIR"]
OUTPUT = f"{ROOT}/etl-output"
SNAPSHOTS = f"{ROOT}/snapshots"

reader = gst.Reader()
contacts = reader.get("contacts", catalog_types=True)
if contacts is not None:
    if (contacts["name"] == "forbidden").any():
        try:
            raise ValueError("contact 'forbidden'")
        except ValueError as error:
            gst.exception(error, ROOT, "The contacts cannot be mapped")
    gst.snapshot_records(contacts, "contacts", SNAPSHOTS, pk="id")
    contacts["externalId"] = contacts["id"]
    contacts = contacts[["externalId", "name"]]
    contacts = gst.merge_id_from_snapshot(contacts, SNAPSHOTS, "Contacts", os.environ["FLOW"], "id")
    gst.to_export(contacts, "Contacts", OUTPUT, keys=["externalId"])
