"""
What is defined: workspaces, flows, and the files that are wrong.
"""

from __future__ import annotations

from fastapi import APIRouter

from headrace.api.asking import Asked, Asking, Named, workspace_names
from headrace.api.views import (
    ConnectorsView,
    ConnectorView,
    FlowsView,
    FlowView,
    NewWorkspace,
    ProblemsView,
    ProblemView,
    WorkspacesView,
    WorkspaceView,
)
from headrace.core.actor import Scope
from headrace.core.definitions import FlowDef
from headrace.core.errors import DefinitionError, ForbiddenError
from headrace.core.plan import ConnectorSpec
from headrace.services.flows import Flows

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
    return FlowsView(flows=[_flow_view(flow, services.flows) for flow in flows if flow.workspace in names])


@router.get("/problems")
async def list_problems(services: Asked, actor: Asking) -> ProblemsView:
    """
    List the mistakes in the project folder; to a key of one workspace, only that workspace's.
    """
    actor.require(Scope.DEFINE)
    names = set((await workspace_names(services, actor)).values())
    problems = (*services.flows.problems, *services.other_problems())
    return ProblemsView(
        problems=[
            _problem_view(problem)
            for problem in problems
            if actor.workspace_id is None or problem.facts.get("workspace") in names
        ]
    )


@router.post("/workspaces", status_code=201)
async def make_workspace(services: Asked, actor: Asking, wanted: NewWorkspace) -> WorkspaceView:
    """
    Make a workspace with nothing in it, for keys that open every workspace.
    """
    actor.require(Scope.KEYS)
    if actor.workspace_id is not None:
        raise ForbiddenError("This key opens one workspace alone.", "Use an administrator's key of no workspace.")
    return WorkspaceView.model_validate(await services.access.make_workspace(wanted.name))


@router.get("/flows/{workspace}/{flow}")
async def show_flow(services: Asked, actor: Asking, workspace: Named, flow: Named) -> FlowView:
    """
    Show a flow as it is in force.
    """
    found = await services.access.workspace(actor, workspace, Scope.READ)
    return _flow_view(services.flows.flow(found, flow), services.flows)


@router.get("/connectors")
async def list_connectors(services: Asked, actor: Asking) -> ConnectorsView:
    """
    List the connectors that flows may name; of their settings only the names are shown.
    """
    actor.require(Scope.READ)
    return ConnectorsView(
        connectors=[
            _connector_view(services.flows, workspace, spec)
            for workspace in sorted((await workspace_names(services, actor)).values())
            for _, spec in sorted(services.flows.connectors(workspace).items())
        ]
    )


def _connector_view(flows: Flows, workspace: str, spec: ConnectorSpec) -> ConnectorView:
    deployed = flows.deployed.connectors.get((workspace, spec.name))
    return ConnectorView(
        name=spec.name,
        workspace=workspace,
        kind=spec.kind,
        settings=sorted(spec.settings),
        owner="deployments" if deployed else "folder",
        version=deployed.number if deployed else None,
    )


def _flow_view(flow: FlowDef, flows: Flows) -> FlowView:
    deployed = flows.deployed.flows.get((flow.workspace, flow.id))
    return FlowView(
        id=flow.id,
        workspace=flow.workspace,
        name=flow.name,
        description=flow.description,
        sources=list(flow.sources),
        targets=list(flow.targets),
        tenants=[tenant.tenant for tenant in flow.tenants],
        script=flow.script is not None,
        owner="deployments" if deployed else "folder",
        version=deployed.number if deployed else None,
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
