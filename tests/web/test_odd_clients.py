"""Senders that are slow, cut off, or speak HTTP badly."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest

from sync.web import Limits

BODY = json.dumps({"userId": "ann", "event": "x", "writeKey": "key-of-web"}).encode()
HEAD = b"POST /v1/track HTTP/1.1\r\nHost: here\r\n"


def request(body: bytes = BODY, *headers: bytes) -> bytes:
    return HEAD + b"".join(header + b"\r\n" for header in headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def answer_on(connection: socket.socket) -> bytes:
    """Read one answer whole: its head and its body may arrive apart."""
    found = b""
    while not found.endswith(b"}"):
        piece = connection.recv(65536)
        assert piece, "closed before the answer was whole"
        found += piece
    return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_body_that_trickles_in_is_refused_after_its_time(serve: Any) -> None:
    place = serve(limits=Limits(body_seconds=0.3))
    with socket.create_connection(("127.0.0.1", place.port), timeout=5) as connection:
        connection.sendall(request()[:-10])
        begun = time.monotonic()

        answer = answer_on(connection)

        assert status(answer) == 408
        assert b"request_timeout" in answer
        assert time.monotonic() - begun < 3
        assert connection.recv(1) == b""


@pytest.mark.parametrize("sent", [b"", HEAD, request() + HEAD], ids=["nothing", "half a head", "half a head after a request"])
def test_a_connection_on_which_no_request_comes_is_closed(serve: Any, sent: bytes) -> None:
    place = serve(header_seconds=0.2)
    with socket.create_connection(("127.0.0.1", place.port), timeout=5) as connection:
        if sent.startswith(request()):
            connection.sendall(request())
            assert status(answer_on(connection)) == 200
            connection.sendall(HEAD)
        else:
            connection.sendall(sent)

        assert connection.recv(65536) == b""


def test_a_connection_that_has_been_used_may_rest_between_requests(serve: Any) -> None:
    place = serve(header_seconds=0.5)
    with socket.create_connection(("127.0.0.1", place.port), timeout=5) as connection:
        connection.sendall(request())
        assert status(answer_on(connection)) == 200

        time.sleep(0.8)
        connection.sendall(request())

        assert status(answer_on(connection)) == 200


def test_a_sender_that_leaves_half_way_costs_nothing(place: Any) -> None:
    for length in (10, len(HEAD) + 5, len(request()) - 5):
        with socket.create_connection(("127.0.0.1", place.port), timeout=5) as connection:
            connection.sendall(request()[:length])

    assert status(place.raw(request())) == 200
    assert len(place.calls) == 1


def test_requests_may_follow_one_another_on_one_connection_without_waiting(place: Any) -> None:
    with socket.create_connection(("127.0.0.1", place.port), timeout=5) as connection:
        connection.sendall(request() * 5)
        found = b""
        while found.count(b'{"success":true}') < 5:
            found += connection.recv(65536)

    assert len(place.calls) == 5


def test_a_sender_that_wants_to_be_told_to_go_on_is_told(place: Any) -> None:
    with socket.create_connection(("127.0.0.1", place.port), timeout=5) as connection:
        connection.sendall(request(BODY, b"Expect: 100-continue")[: -len(BODY)])
        assert status(connection.recv(65536)) == 100
        connection.sendall(BODY)
        assert status(answer_on(connection)) == 200


def test_chunks_of_one_byte_are_put_together(place: Any) -> None:
    chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"

    assert status(place.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked)) == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/track HTTP/9.9\r\n\r\n",
        request(BODY, b"Content-Length: 5"),
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1e3\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        request(BODY, b"Transfer-Encoding: chunked"),
        request(BODY, b"X" * 70_000),
        request(BODY, b"X: " + b"a" * 70_000),
        request(BODY, b"Authorization: Basic \xff\xfe"),
        request(BODY, b"Content-Encoding: \xff"),
        HEAD.replace(b"/v1/track", b"/v1/\xff") + b"\r\n",
        HEAD.replace(b"/v1/track", b"http://other/v1/track") + b"\r\n",
        HEAD.replace(b"POST", b"P\x00ST") + b"\r\n",
    ],
)
def test_bad_http_is_answered_with_4xx_or_closed_and_the_server_goes_on(place: Any, sent: bytes) -> None:
    answer = place.raw(sent, seconds=0.5)

    assert not answer or status(answer) == 200 or 400 <= status(answer) < 500
    assert status(place.raw(request())) == 200


def test_two_lengths_are_refused_and_the_connection_closed(place: Any) -> None:
    sent = HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

    answer = place.raw(sent)

    assert status(answer) == 400
    assert b"connection: close" in answer.lower()
    assert place.taken == []


def test_a_body_without_end_is_cut_off(place: Any) -> None:
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", place.port), timeout=5) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):
            connection.sendall(piece * 200)

    assert status(place.raw(request())) == 200


def test_what_comes_in_pieces_over_many_connections_at_once_stays_apart(place: Any) -> None:
    call = {"event": "x", "writeKey": "key-of-web"}
    bodies = [json.dumps(call | {"userId": f"u{number}", "properties": {"long": str(number) * 9_000}}) for number in range(20)]
    sent = [request(body.encode()) for body in bodies]
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", place.port), timeout=5)) for _ in bodies]
        for begin in range(0, max(map(len, sent)), 5_000):
            for connection, whole in zip(opened, sent, strict=True):
                connection.sendall(whole[begin : begin + 5_000])
        assert [status(answer_on(connection)) for connection in opened] == [200] * 20

    kept = {call.user_id: call.properties["long"] for call in place.calls}
    assert kept == {f"u{number}": str(number) * 9_000 for number in range(20)}
