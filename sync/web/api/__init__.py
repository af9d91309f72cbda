"""The query API: who is in, since when, why, what was sent, what is still owed; and Segment's Profile API.

    operations.py  the table of routes: what each takes, who answers it, what it answers
    parameters.py  what may be asked with: read, or refused with what would be right
    asking.py      one request: route, parameters, answer (an ASGI application)
    openapi.py     the same table as an OpenAPI document; schemas.py: the shapes of answers
    audiences.py  users.py  deliveries.py  profiles.py   those who answer

Knows HTTP and the store's reads. The objects are those that the commands print with `--json` (`sync.reports`).
"""

from __future__ import annotations

from sync.web.api.asking import Api
from sync.web.api.program import Program

__all__ = ["Api", "Program"]
