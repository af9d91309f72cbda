"""An answer that unpacks to gigabytes, or is one: no more of it is read and held than its status needs."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import Any

import pytest

from sync.delivery import Accepted, Lane, Later, Rejected

ANN = {"user_id": "ann", "metadata": {"plan": "gold"}}
BOMB = gzip.compress(b" " * 200_000_000, compresslevel=1)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(b"201 Created", Accepted), (b"400 Bad Request", Rejected), (b"503 No", Later)],
    ids=["201", "400", "503"],
)
@pytest.mark.parametrize(
    ("headers", "body"),
    [(b"Content-Encoding: gzip\r\n", BOMB), (b"Content-Type: application/json\r\n", b'{"message": "' + b"x" * 20_000_000)],
    ids=["a bomb", "20 MB"],
)
def test_a_huge_answer_costs_little_memory(
    serve: Any, connect: Any, status: bytes, expected: type, headers: bytes, body: bytes
) -> None:
    head = b"HTTP/1.1 " + status + b"\r\n" + headers + b"Content-Length: %d\r\n\r\n" % len(body)
    server = serve(lambda connection: connection.sendall(head + body))
    collector = connect(server.url)
    tracemalloc.start()

    told = collector.post(Lane.USERS, [ANN])

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(told, expected)
    assert most < 10_000_000 + len(head + body)  # what the server in this process holds
