"""Bodies that never come to an end, sent by nobody in particular: they fill the room of all, and make way for whoever is done."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from sync.web import Limits
from tests.web.conftest import received

CALL = {"userId": "ann", "event": "x"}
HALF = 400_000
HEAD = f"POST /v1/batch HTTP/1.1\r\nHost: h\r\nContent-Length: {HALF + 1}\r\n\r\n".encode()
LIMITS = Limits(waiting_bytes=5 * HALF + 20, slow_seconds=0.3)


@contextmanager
def half_sent(place: Any, times: int) -> Iterator[list[socket.socket]]:
    """Hold connections over which all of a large body has come but its end."""
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", place.port), timeout=10)) for _ in range(times)]
        for one in opened:
            one.sendall(HEAD + b" " * HALF)
        time.sleep(0.2)
        yield opened


def test_where_large_bodies_that_never_end_fill_all_room_whoever_sends_a_whole_call_is_served(serve: Any) -> None:
    place = serve(limits=LIMITS)
    with half_sent(place, 5) as slow:
        time.sleep(LIMITS.slow_seconds)
        begun = time.monotonic()

        statuses = {place.post("/v1/track", CALL).status_code for _ in range(20)}

        assert statuses == {200}
        assert time.monotonic() - begun < 20 * 0.5
        assert len(place.calls) == 20
        answers = [answer_to_the_end(one) for one in slow]

    # Only as many make way as must; the others were read whole, and are no JSON.
    assert sorted(answers) == [b"400"] * 4 + [b"408"]


def answer_to_the_end(connection: socket.socket) -> bytes:
    """Send what is missing, and return the status that is answered."""
    with suppress(ConnectionError):
        connection.sendall(b" ")
    return received(connection).split(b" ")[1]


def test_a_body_that_has_just_begun_to_arrive_makes_way_for_nobody(serve: Any) -> None:
    place = serve(limits=Limits(waiting_bytes=5 * HALF + 20, slow_seconds=5.0))
    with half_sent(place, 5) as slow:
        assert place.post("/v1/track", CALL).status_code == 429
        assert answer_to_the_end(slow[0]) == b"400"
        assert place.post("/v1/track", CALL).status_code == 200
