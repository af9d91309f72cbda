"""The HTTP door: where Segment's SDKs send their calls, and what operators watch.

    request ── body ── keys ── call.open/read ── Writer ── accept (the store) ── 200
                 408/413/429  401      400/413         429/503

    request ── access ── metrics, api/: route ── parameters ── the store's reads ── JSON
                401/403                 404/405     400            503

Knows HTTP. Ingest does not know the store: what is durable, how sources are kept and what health means comes with the `Door`. An
answer of 200 is given when `Door.accept` has returned, never before.
"""

from __future__ import annotations

from sync.web.access import Access
from sync.web.api import Api, Program
from sync.web.app import ApiRoute, create_app, metrics_route
from sync.web.door import Door, Health, Limits
from sync.web.metrics import Metrics
from sync.web.serving import Server

__all__ = [
    "Access",
    "Api",
    "ApiRoute",
    "Door",
    "Health",
    "Limits",
    "Metrics",
    "Program",
    "Server",
    "create_app",
    "metrics_route",
]
