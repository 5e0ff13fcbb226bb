"""
What is defined: workspaces, flows, and the files that are wrong.
"""

from __future__ import annotations

from fastapi import APIRouter

from headrace.api.asking import Asked, Asking, workspace_names
from headrace.api.views import (
    FlowsView,
    FlowView,
    ProblemsView,
    ProblemView,
    WorkspacesView,
    WorkspaceView,
)
from headrace.core.actor import Scope
from headrace.core.definitions import FlowDef
from headrace.core.errors import DefinitionError

router = APIRouter(tags=["definitions"])


@router.get("/workspaces")
async def list_workspaces(services: Asked, actor: Asking) -> WorkspacesView:
    """
    List the workspaces that the key opens.
    """
    actor.require(Scope.READ)
    found = await services.access.workspaces(actor)
    return WorkspacesView(workspaces=[WorkspaceView.model_validate(workspace) for workspace in found])


@router.get("/flows")
async def list_flows(services: Asked, actor: Asking) -> FlowsView:
    """
    List the flows that can be run.
    """
    actor.require(Scope.READ)
    names = set((await workspace_names(services, actor)).values())
    flows = sorted(services.flows.all(), key=lambda flow: (flow.workspace, flow.id))
    return FlowsView(flows=[_flow_view(flow) for flow in flows if flow.workspace in names])


@router.get("/problems")
async def list_problems(services: Asked, actor: Asking) -> ProblemsView:
    """
    List the mistakes in the project folder; to a key of one workspace, only that workspace's.
    """
    actor.require(Scope.DEFINE)
    names = set((await workspace_names(services, actor)).values())
    problems = services.flows.problems
    return ProblemsView(
        problems=[
            _problem_view(problem)
            for problem in problems
            if actor.workspace_id is None or problem.facts.get("workspace") in names
        ]
    )


def _flow_view(flow: FlowDef) -> FlowView:
    return FlowView(
        id=flow.id,
        workspace=flow.workspace,
        name=flow.name,
        description=flow.description,
        sources=list(flow.sources),
        targets=list(flow.targets),
        tenants=[tenant.tenant for tenant in flow.tenants],
        script=flow.script is not None,
    )


def _problem_view(problem: DefinitionError) -> ProblemView:
    facts = problem.facts
    return ProblemView(
        file=str(facts["file"]) if facts.get("file") else None,
        line=facts.get("line"),
        reason=problem.reason,
        instruction=problem.instruction,
        facts={name: value for name, value in facts.items() if name not in ("file", "line")},
    )
