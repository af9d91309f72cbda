"""A stand-in to ask, and a client that knows nothing of ours."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from sync.standin import StandIn


@dataclass
class Client:
    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, path: str) -> Any:
        return self.session.get(self.url + path, timeout=5).json()

    def post(self, path: str, value: Any, **headers: str) -> requests.Response:
        return self.send(path, json.dumps(value).encode(), **headers)

    def zipped(self, path: str, value: Any) -> requests.Response:
        return self.send(path, gzip.compress(json.dumps(value).encode()), **{"Content-Encoding": "gzip"})

    def send(self, path: str, body: bytes, **headers: str) -> requests.Response:
        return self.session.post(self.url + path, data=body, headers={"X-Moesif-Application-Id": "app-1"} | headers, timeout=5)


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn.start(application_id="app-1") as running:
        yield running


@pytest.fixture
def client(standin: StandIn) -> Iterator[Client]:
    client = Client(standin.url)
    yield client
    client.session.close()
