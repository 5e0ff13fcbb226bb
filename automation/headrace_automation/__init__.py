"""
What the functions of an automation project import.

All of it speaks about the call that runs now; outside of one, whatever needs the server raises `NoCallError`.
"""

from headrace_automation.asking import (
    RunInfo,
    attempt_store,
    delete_attribute,
    extend_payload,
    extend_timeout,
    get_auth_session_parameters,
    get_auth_session_state,
    persistent_store,
    run_info,
    set_attribute,
)
from headrace_automation.deferred import EnsureBrowser, deferred_browser
from headrace_automation.errors import AutomationError, NoCallError, NonRetryableError

__all__ = [
    "AutomationError",
    "EnsureBrowser",
    "NoCallError",
    "NonRetryableError",
    "RunInfo",
    "attempt_store",
    "deferred_browser",
    "delete_attribute",
    "extend_payload",
    "extend_timeout",
    "get_auth_session_parameters",
    "get_auth_session_state",
    "persistent_store",
    "run_info",
    "set_attribute",
]
