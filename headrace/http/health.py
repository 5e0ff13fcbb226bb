"""
What a supervisor and a metrics collector ask: alive, ready, how much.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.errors import RetriableError
from headrace.core.state import JobState
from headrace.http.reply import json_reply
from headrace.http.services_bundle import Services

_DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """
    The numbers of one process; the jobs are everybody's and read when asked for.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.durations = Histogram(
            "headrace_http_request_duration_seconds",
            "Time from the request's head to the reply's end.",
            ("wire", "method", "route", "status"),
            buckets=_DURATION_BUCKETS,
            registry=self.registry,
        )
        self.unfinished = Gauge(
            "headrace_jobs_unfinished",
            "Jobs of all workspaces that have not ended.",
            ("state",),
            registry=self.registry,
        )


def health_routes(services: Services, metrics: Metrics) -> list[Route]:
    """
    Make `/healthz`, `/readyz` and `/metrics`; none asks for a key, none tells a tenant's data.
    """

    async def healthz(_request: Request) -> Response:
        return json_reply({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        try:
            reasons = list(await services.not_ready())
        except RetriableError as error:
            reasons = [error.reason]
        if reasons:
            return json_reply({"status": "not ready", "reasons": reasons}, 503, {"Retry-After": "2"})
        return json_reply({"status": "ready", "reasons": []})

    async def numbers(_request: Request) -> Response:
        try:
            unfinished = await services.jobs.unfinished()
        except RetriableError:
            metrics.unfinished.clear()  # no number is better than an old one
        else:
            for state in JobState:
                if not state.final:
                    metrics.unfinished.labels(str(state)).set(unfinished.get(state, 0))
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", numbers)]
