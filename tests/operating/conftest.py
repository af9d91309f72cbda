"""The program's own HTTP application, as `serve` makes it, on a real store and a real port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from sync.app import App, opened
from sync.serve import http_app
from sync.settings import read
from sync.store import Store
from sync.web import Server
from tests.conftest import StandingClock

TOKEN = "token-of-operators"


@dataclass
class Operated:
    """A server that runs, and its store."""

    app: App
    port: int = 0
    wakes: list[None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> Store:
        return self.app.store

    def ask(self, method: str, path: str, *, token: str | None = TOKEN, **options: Any) -> requests.Response:
        headers = ({"authorization": f"Bearer {token}"} if token else {}) | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=10, allow_redirects=False, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        how = {"data": body} if isinstance(body, bytes) else {"json": body}
        return self.ask("POST", path, **how, **options)


Operate = Callable[..., Operated]


@pytest.fixture
def operate(database_url: str, clock: StandingClock, tmp_path: Path) -> Iterator[Operate]:
    """Start a server on a store of the test's own, with settings as given."""
    with ExitStack() as stack:

        def start(**settings: str) -> Operated:
            given = {
                "SYNC_DATABASE_URL": database_url,
                "SYNC_API_TOKEN": TOKEN,
                "SYNC_DEFINITIONS": str(tmp_path / "personas.yaml"),
            }
            app = stack.enter_context(opened(read(given | settings), clock))
            place = Operated(app)
            server = Server(http_app(app, lambda: place.wakes.append(None)), host="127.0.0.1", port=0)
            place.port = stack.enter_context(server).port
            return place

        yield start


@pytest.fixture
def operated(operate: Operate) -> Operated:
    """A server with a token, on each database."""
    return operate()
