"""
Deploying flows and connectors: their versions, and which one is in force.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from headrace.api.asking import Asked, Asking, Named
from headrace.api.deployment_views import (
    ConnectorVersionView,
    DeploymentView,
    FlowVersionView,
    NewConnectorVersion,
    NewFlowVersion,
    Rollback,
    VersionsView,
    VersionView,
    bytes_of,
    files_view,
    sound,
)
from headrace.api.views import Done
from headrace.core.actor import Scope
from headrace.services.deployments import Deployment, Version, Wish

router = APIRouter(tags=["deployments"])

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.put("/flows/{workspace}/{flow}")
async def deploy_flow(
    services: Asked, actor: Asking, workspace: Named, flow: Named, wanted: NewFlowVersion
) -> DeploymentView:
    """
    Put a flow in force from the next job on; with a mistake in its files nothing is changed.
    """
    place = await services.access.workspace(actor, workspace, Scope.DEFINE)
    wish = Wish(by=actor.name, message=wanted.message, take_over=wanted.take_over)
    return _deployed(await services.deployments.deploy_flow(place, flow, bytes_of(wanted.files), wish))


@router.get("/flows/{workspace}/{flow}/versions")
async def list_flow_versions(services: Asked, actor: Asking, workspace: Named, flow: Named) -> VersionsView:
    """
    List the versions of a flow that were deployed, newest first.
    """
    place = await services.access.workspace(actor, workspace, Scope.READ)
    return _listed(await services.deployments.versions(place, "flow", flow))


@router.get("/flows/{workspace}/{flow}/versions/{number}")
async def show_flow_version(
    services: Asked, actor: Asking, workspace: Named, flow: Named, number: Number
) -> FlowVersionView:
    """
    Show a version of a flow with all its files, which may hold tenants' settings.
    """
    place = await services.access.workspace(actor, workspace, Scope.DEFINE)
    actor.require(Scope.SECRETS)
    version = await services.deployments.version(place, "flow", flow, number)
    files = await services.deployments.files_of(version)
    return FlowVersionView(**_fields(version), files=files_view(files))


@router.post("/flows/{workspace}/{flow}/rollback")
async def roll_back_flow(
    services: Asked, actor: Asking, workspace: Named, flow: Named, wanted: Rollback
) -> DeploymentView:
    """
    Put another version of a flow in force from the next job on.
    """
    place = await services.access.workspace(actor, workspace, Scope.DEFINE)
    return _deployed(await services.deployments.roll_back(place, "flow", flow, wanted.version, by=actor.name))


@router.delete("/flows/{workspace}/{flow}")
async def delete_flow(services: Asked, actor: Asking, workspace: Named, flow: Named) -> Done:
    """
    Forget every version of a flow that was deployed; what the project folder says of it is in force again.
    """
    place = await services.access.workspace(actor, workspace, Scope.DEFINE)
    await services.deployments.forget(place, "flow", flow)
    return Done()


@router.put("/connectors/{workspace}/{connector}")
async def deploy_connector(
    services: Asked, actor: Asking, workspace: Named, connector: Named, wanted: NewConnectorVersion
) -> DeploymentView:
    """
    Put a connector in force in one workspace from the next job on; with a mistake in it nothing is changed.
    """
    place = await services.access.workspace(actor, workspace, Scope.DEFINE)
    wish = Wish(by=actor.name, message=wanted.message, take_over=wanted.take_over)
    return _deployed(await services.deployments.deploy_connector(place, connector, sound(wanted.connector), wish))


@router.get("/connectors/{workspace}/{connector}/versions")
async def list_connector_versions(services: Asked, actor: Asking, workspace: Named, connector: Named) -> VersionsView:
    """
    List the versions of a connector that were deployed, newest first.
    """
    place = await services.access.workspace(actor, workspace, Scope.READ)
    return _listed(await services.deployments.versions(place, "connector", connector))


@router.get("/connectors/{workspace}/{connector}/versions/{number}")
async def show_connector_version(
    services: Asked, actor: Asking, workspace: Named, connector: Named, number: Number
) -> ConnectorVersionView:
    """
    Show a version of a connector with its settings.
    """
    place = await services.access.workspace(actor, workspace, Scope.DEFINE)
    actor.require(Scope.SECRETS)
    version = await services.deployments.version(place, "connector", connector, number)
    return ConnectorVersionView(**_fields(version), connector=await services.deployments.body_of(version))


@router.post("/connectors/{workspace}/{connector}/rollback")
async def roll_back_connector(
    services: Asked, actor: Asking, workspace: Named, connector: Named, wanted: Rollback
) -> DeploymentView:
    """
    Put another version of a connector in force from the next job on.
    """
    place = await services.access.workspace(actor, workspace, Scope.DEFINE)
    return _deployed(await services.deployments.roll_back(place, "connector", connector, wanted.version, by=actor.name))


@router.delete("/connectors/{workspace}/{connector}")
async def delete_connector(services: Asked, actor: Asking, workspace: Named, connector: Named) -> Done:
    """
    Forget every version of a connector that was deployed, unless a flow in force needs it.
    """
    place = await services.access.workspace(actor, workspace, Scope.DEFINE)
    await services.deployments.forget(place, "connector", connector)
    return Done()


def _deployed(made: Deployment) -> DeploymentView:
    return DeploymentView(**_fields(made.version), new=made.new, changed=made.changed)


def _listed(versions: list[Version]) -> VersionsView:
    return VersionsView(versions=[VersionView.model_validate(version) for version in versions])


def _fields(version: Version) -> dict[str, Any]:
    return {name: getattr(version, name) for name in VersionView.model_fields}
