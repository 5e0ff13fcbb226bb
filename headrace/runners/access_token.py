"""
The stage that has a connector refresh the token of its account.

Connectors of hotglue's SDK do that with `--access-token`: they write the new tokens into their config file, print
`{"access_token"}`, or `{"error"}`, and exit with 0 both times (hotglue-singer-sdk 1.0, `plugin_base.py`, read 2026-11).
"""

from __future__ import annotations

import re
from typing import Any, Final

from headrace.core.outcome import Blame, Cause, Failed
from headrace.runners.connector import Connector, lend_config
from headrace.runners.diagnosis import blame
from headrace.runners.job_root import read_json
from headrace.runners.process import Exit
from headrace.runners.stage import Stage

NOT_SUPPORTED: Final = "Connector doesn't support get access token"
"""On these words connectors of hotglue's SDK refresh their token by themselves."""

_NO_SUCH_OPTION = re.compile(r"no such option|unrecognized arguments", re.IGNORECASE)
_NOT_IMPLEMENTED = "support is not implemented"


async def access_token(stage: Stage, connector: Connector) -> dict[str, Any] | Failed:
    """
    Start a connector with `--access-token`; gives the settings that its output adds to what it has rewritten.
    """
    root = stage.root
    lend_config(root, connector, root.config)
    output = root.work / "access-token.json"
    try:
        with output.open("wb") as file:
            output.chmod(0o600)
            child = await stage.start(
                "access-token", [*connector.command, "--config", "config.json", "--access-token"], stdout=file.fileno()
            )
            ended = await child.wait()
        said = read_json(output)
    finally:
        output.unlink(missing_ok=True)
    told = said if isinstance(said, dict) else {}
    rewritten = read_json(root.config)
    settings = rewritten if isinstance(rewritten, dict) else {}
    token = told.get("access_token") or settings.get("access_token")
    if not ended.succeeded or "error" in told or not isinstance(token, str):
        return await _why_not(stage, connector, ended, told)
    return {"access_token": token}


async def _why_not(stage: Stage, connector: Connector, ended: Exit, told: dict[str, Any]) -> Failed:
    if ended.succeeded:
        sentence = str(told.get("error") or f"{connector.spec.name} gave no access token.")
        who = Blame(blame(sentence))
    else:
        cause = (await stage.diagnose([ended])).cause
        sentence, who = cause.sentence, cause.who
    if _NO_SUCH_OPTION.search(sentence) or _NOT_IMPLEMENTED in sentence:
        sentence, who = NOT_SUPPORTED, Blame.DEVELOPER
    exception = await stage.exception()
    return Failed(
        Cause(
            stage=stage.name,
            sentence=stage.book.redactor.redact(sentence),
            who=who,
            evidence={"exception": exception} if exception else {},
        ),
        fatal=True,
    )
