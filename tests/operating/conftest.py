"""The program's own HTTP application, as `serve` makes it, on a real store and a real port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
import requests

from sync.app import LOG_BYTES, App, opened
from sync.serve import http_app, metrics_of
from sync.settings import read
from sync.store import Store
from sync.web import Server
from tests.conftest import StandingClock
from tests.make import NOW

TOKEN = "token-of-operators"


@dataclass
class Operated:
    """A server that runs, and its store."""

    app: App
    clock: StandingClock
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


def started(stack: ExitStack, log_bytes: int = LOG_BYTES, connections: int = 100, **settings: str) -> Operated:
    clock = StandingClock(NOW)
    app = replace(stack.enter_context(opened(read({"SYNC_API_TOKEN": TOKEN} | settings), clock)), log_bytes=log_bytes)
    place = Operated(app, clock)
    store, spool = stack.enter_context(app.spooled())
    metrics = metrics_of(app, spool)
    served = http_app(app, metrics, lambda: place.wakes.append(None), store, spool)
    server = Server(served, host="127.0.0.1", port=0, connections=connections, answered=metrics.answered)
    place.port = stack.enter_context(server).port
    return place


@pytest.fixture
def operate() -> Iterator[Operate]:
    """Start servers with settings as given."""
    with ExitStack() as stack:
        yield partial(started, stack)


@pytest.fixture
def operated(operate: Operate, database_url: str) -> Operated:
    """A server with a token and a store of the test's own, on each database."""
    return operate(SYNC_DATABASE_URL=database_url)


@pytest.fixture(scope="session")
def shared_place(tmp_path_factory: pytest.TempPathFactory, sqlite_template: bytes) -> Iterator[Operated]:
    path = tmp_path_factory.mktemp("shared") / "personas.db"
    path.write_bytes(sqlite_template)
    with ExitStack() as stack:
        yield started(stack, SYNC_DATABASE_URL=f"sqlite:///{path}")


@pytest.fixture
def place(shared_place: Operated) -> Operated:
    """A server with a token and an empty store, shared by tests that ask for what no store has a part in."""
    return shared_place
