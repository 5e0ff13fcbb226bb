"""
Whose account refused its credentials, when a step failed of that.

What connectors and scripts raise then is hotglue's `InvalidCredentialsError`; their users have to reconnect.
"""

from __future__ import annotations

from headrace.core.outcome import Failed, Succeeded, refused_by
from headrace.core.plan import ConfigRef, Export, Plan
from headrace.engine.desk import source_refs
from headrace.runners.diagnosis import INVALID_CREDENTIALS


def blamed(outcome: Succeeded | Failed, ref: ConfigRef | None) -> Succeeded | Failed:
    """
    Note in a failure that the account of *ref* refused, if that was why.
    """
    if not isinstance(outcome, Failed) or outcome.cause.evidence.get("exception") != INVALID_CREDENTIALS:
        return outcome
    return refused_by(outcome, [ref.connection] if ref and ref.connection else [])


def account_of_script(plan: Plan) -> ConfigRef | None:
    """
    Give the account that a script speaks for: the source's, or where the records came with the job, the only target's.
    """
    for step in plan.steps:
        if sources := source_refs(step):
            return sources[0]
    exports = [step for step in plan.steps if isinstance(step, Export) and len(step.targets) == 1]
    return exports[0].targets[0].config if exports else None
