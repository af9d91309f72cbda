"""The collector over real HTTP, on loopback: what arrives, and what every misbehaviour is taken for."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import sync
from sync.delivery import Accepted, KeyRefused, Lane, Later, Rejected, Unknown
from sync.errors import SettingsError
from sync.json_value import Json, decode
from sync.moesif import Collector, Probe, check_url
from sync.standin import Counts, Fault, StandIn

ANN: dict[str, Json] = {"user_id": "ann", "metadata": {"big_spender": True, "n": 10**30}}
ACTION: dict[str, Json] = {"action_name": "Paid", "user_id": "ann", "request": {"uri": "https://app.example.org/"}}
CREATED = b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


def test_each_lane_has_its_batch_and_everything_arrives_unchanged(standin: StandIn, collector: Collector) -> None:
    outcomes = [
        collector.post(Lane.USERS, [ANN, {"user_id": "bob"}]),
        collector.post(Lane.ACTIONS, [ACTION]),
        collector.post(Lane.COMPANIES, [{"company_id": "acme"}]),
    ]

    assert outcomes == [Accepted()] * 3
    assert standin.users() == {"ann": ANN, "bob": {"user_id": "bob"}}
    assert standin.actions() == [ACTION]
    assert standin.companies() == {"acme": {"company_id": "acme"}}


def test_the_request_carries_the_headers_of_the_contract_and_a_gzip_body(serve: Any, connect: Any) -> None:
    server = serve(lambda connection: connection.sendall(CREATED))

    assert connect(f"{server.url}/collector/v1/").post(Lane.USERS, [ANN]) == Accepted()

    head, _, body = server.received[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    named = dict(header.split(": ", 1) for header in headers)
    assert line == "POST /collector/v1/users/batch HTTP/1.1"
    assert named["X-Moesif-Application-Id"] == "app-1"
    assert named["User-Agent"] == f"personas-sync/{sync.__version__}"
    assert named["Content-Encoding"] == "gzip"
    assert named["Content-Type"].startswith("application/json")
    assert decode(gzip.decompress(body)) == [ANN]


def test_the_same_batch_is_the_same_bytes(serve: Any, connect: Any) -> None:
    server = serve(lambda connection: connection.sendall(CREATED))
    collector = connect(server.url)

    for _ in range(2):
        collector.post(Lane.USERS, [ANN])

    assert server.received[0] == server.received[1]


def test_an_empty_batch_is_not_sent(standin: StandIn, collector: Collector) -> None:
    assert collector.post(Lane.USERS, []) == Accepted()
    assert standin.requests["users"] == Counts()


@pytest.mark.parametrize("value", [float, "\ud800"])
def test_what_json_cannot_hold_is_rejected_without_being_sent(standin: StandIn, collector: Collector, value: Any) -> None:
    assert collector.post(Lane.USERS, [{"user_id": "ann", "metadata": {"x": value}}]) == Rejected(
        reason="cannot be written as JSON"
    )
    assert standin.requests["users"] == Counts()


def test_one_connection_is_used_again_and_again(standin: StandIn, collector: Collector) -> None:
    standin.misbehave(Fault(status=503), Fault(status=400), Fault(status=201, body="x" * 5000))

    for _ in range(10):
        collector.post(Lane.USERS, [ANN])

    assert standin.connections == 1


def test_a_chunked_answer_is_read_to_its_end(serve: Any, connect: Any) -> None:
    server = serve(
        lambda connection: connection.sendall(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    )

    assert connect(server.url).post(Lane.USERS, [ANN]) == Accepted()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=202), Accepted),
        (Fault(status=400), Rejected),
        (Fault(status=413), Rejected),
        (Fault(status=422), Rejected),
        (Fault(status=401), KeyRefused),
        (Fault(status=402), KeyRefused),
        (Fault(status=403), KeyRefused),
        (Fault(status=404), Later),
        (Fault(status=408), Later),
        (Fault(status=429), Later),
        (Fault(status=500), Later),
        (Fault(status=503), Later),
        (Fault(status=302, location="/v1/users/batch"), Later),
        (Fault(status=301, location="http://[bad"), Later),
        (Fault(status=200, content_type="text/html", body="<html>Welcome to the hotel</html>"), Later),
        (Fault(close="before"), Unknown),
        (Fault(close="after"), Unknown),
        (Fault(close="midway"), Unknown),
        (Fault(delay_seconds=0.7), Unknown),  # longer than a read may take
    ],
)
def test_every_fault_of_the_stand_in_is_a_value(standin: StandIn, collector: Collector, fault: Fault, expected: type) -> None:
    standin.misbehave(fault)

    assert isinstance(collector.post(Lane.USERS, [ANN]), expected)
    assert collector.post(Lane.USERS, [ANN]) == Accepted()


@pytest.mark.parametrize(
    ("asked", "wait"), [(2, timedelta(seconds=2)), ("Wed, 04 Mar 2026 09:00:40 GMT", timedelta(seconds=40)), ("soon", None)]
)
def test_retry_after_is_passed_on(standin: StandIn, collector: Collector, asked: int | str, wait: timedelta | None) -> None:
    standin.misbehave(Fault(status=503, retry_after=asked))

    assert collector.post(Lane.USERS, [ANN]) == Later(reason="503 Service Unavailable", after=wait)


def test_a_rejection_says_what_is_wrong_and_repeats_no_value(collector: Collector) -> None:
    told = collector.post(Lane.USERS, [{"user_id": "ann", "metadata": ["ines@example.org"]}])

    assert told == Rejected(reason="400 Bad Request: metadata must be an object")


def test_the_wrong_key_is_refused_and_shown_nowhere(standin: StandIn, clock: Any) -> None:
    with Collector("app-secret", standin.url, clock=clock) as collector:
        told = collector.post(Lane.USERS, [ANN])

        assert isinstance(told, KeyRefused)
        assert "app-secret" not in repr(collector) + repr(told)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_neither_the_key_nor_the_body_to_another_host(
    standin: StandIn, connect: Any, serve: Any, status: int
) -> None:
    elsewhere = serve(lambda connection: connection.sendall(CREATED))
    standin.misbehave(Fault(status=status, location=f"{elsewhere.url}/v1/users/batch"))

    assert isinstance(connect(standin.url).post(Lane.USERS, [ANN]), Later)
    assert elsewhere.received == []


def test_nobody_there_and_no_such_host_are_for_later(connect: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    refused = connect(f"http://127.0.0.1:{port}").post(Lane.USERS, [ANN])
    nowhere = connect("https://moesif.invalid").post(Lane.USERS, [ANN])

    assert refused == Later(reason="no connection")
    assert nowhere == Later(reason="the host's name could not be looked up")


def test_a_full_queue_at_the_door_is_for_later(connect: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))

        told = connect(f"http://127.0.0.1:{port}", connect=0.2).post(Lane.USERS, [ANN])

        for one in waiting:
            one.close()
    assert told == Later(reason="no connection in time")


def test_a_door_without_encryption_behind_https_is_for_later(connect: Any, standin: StandIn) -> None:
    told = connect(standin.url.replace("http://", "https://")).post(Lane.USERS, [ANN])

    assert isinstance(told, Later)
    assert "secure" in told.reason


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answering(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


def silent(connection: socket.socket) -> None:
    connection.recv(1)  # until the other side gives up


@pytest.mark.parametrize(
    "behaviour",
    [
        reset,
        answering(b""),
        answering(b"HTTP/1.1 20"),
        answering(b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{}"),
        answering(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}"),
        answering(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
        answering(b"SSH-2.0-OpenSSH_9.2\r\n"),
        answering(b"HTTP/1.1 abc\r\n\r\n"),
        answering(b"\x00" * 100_000),
        answering(b"HTTP/1.1 201 Created\r\n" + b"X-Many: 1\r\n" * 200 + b"\r\n"),
        answering(b"HTTP/1.1 201 Created\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n"),
        silent,
    ],
)
def test_no_whole_answer_leaves_the_outcome_unknown(serve: Any, connect: Any, behaviour: Any) -> None:
    told = connect(serve(behaviour).url, read=0.3).post(Lane.USERS, [ANN])

    assert isinstance(told, Unknown)


@pytest.mark.parametrize(
    "start",
    [
        b"",  # the first line drips
        b"HTTP/1.1 201 Created\r\nX-A: ",  # a header drips
        b"HTTP/1.1 201 Created\r\nContent-Length: 1000000\r\n\r\n",  # the body drips
        b"HTTP/1.1 201 Created\r\n\r\n",  # a body without a length, which a cut would seem to end
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
    ],
)
def test_an_answer_that_drips_is_cut_at_the_deadline(serve: Any, connect: Any, start: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(b"H")
            time.sleep(0.02)

    started = time.monotonic()
    told = connect(serve(drip).url, total=0.4).post(Lane.USERS, [ANN])

    assert told == Unknown(reason="no whole answer within the time allowed")
    assert 0.35 < time.monotonic() - started < 0.9


def test_the_stand_ins_drip_is_cut_too(standin: StandIn, connect: Any) -> None:
    standin.misbehave(Fault(drip_seconds=0.02))

    assert isinstance(connect(standin.url, total=0.3).post(Lane.USERS, [ANN]), Unknown)


@pytest.mark.parametrize("start", [b"Content-Encoding: gzip\r\n\r\n", b"Location: /elsewhere\r\n\r\n"])
@pytest.mark.parametrize(("status", "expected"), [(b"201 Created", Accepted), (b"503 No", Later), (b"302 Found", Later)])
def test_an_endless_answer_is_read_no_further_than_its_status_needs(
    serve: Any, connect: Any, start: bytes, status: bytes, expected: type
) -> None:
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        # What lies in buffers between the two has been sent, and nobody has read it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.sendall(b"HTTP/1.1 " + status + b"\r\n" + start)
        while True:
            sent += connection.send(b"x" * 4096)

    told = connect(serve(pour).url).post(Lane.USERS, [ANN])

    assert isinstance(told, expected)
    assert sent < 1_000_000


def test_no_cookie_is_kept_and_no_proxy_of_the_environment_used(serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server = serve(answering(b"HTTP/1.1 201 Created\r\nConnection: close\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"))
    collector = connect(server.url)

    outcomes = [collector.post(Lane.USERS, [ANN]) for _ in range(2)]

    assert outcomes == [Accepted(), Accepted()]
    assert b"cookie" not in server.received[1].lower()


def test_nothing_is_sent_twice_by_the_libraries_beneath(serve: Any, connect: Any) -> None:
    server = serve(reset)

    connect(server.url).post(Lane.USERS, [ANN])

    assert len(server.received) == 1


def test_threads_have_a_connection_each_and_nothing_is_mixed_up(standin: StandIn, collector: Collector) -> None:
    def send(name: str) -> None:
        for n in range(25):
            assert collector.post(Lane.USERS, [{"user_id": f"{name}-{n}"}]) == Accepted()

    threads = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(standin.users()) == 100
    assert standin.connections == 4


def test_after_an_outage_it_goes_on_by_itself(standin: StandIn, collector: Collector) -> None:
    before = collector.post(Lane.USERS, [ANN])
    standin.stop()
    during = [collector.post(Lane.USERS, [ANN]) for _ in range(2)]
    with StandIn.start(int(standin.url.rsplit(":", 1)[1])):
        after = collector.post(Lane.USERS, [ANN])

    assert (before, after) == (Accepted(), Accepted())
    assert all(isinstance(told, Later | Unknown) for told in during)
    assert isinstance(during[-1], Later)


def test_a_closed_collector_can_be_used_again(standin: StandIn, collector: Collector) -> None:
    collector.post(Lane.USERS, [ANN])
    collector.close()

    assert collector.post(Lane.USERS, [ANN]) == Accepted()
    assert standin.connections == 2


def test_a_probe_says_whether_the_collector_is_there(standin: StandIn, collector: Collector, serve: Any, connect: Any) -> None:
    page = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"))

    there = collector.probe()
    standin.stop()
    gone = collector.probe()

    assert there == Probe(ok=True, reason="200")
    assert not gone.ok
    assert not connect(page.url).probe().ok


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.moesif.net", "https://api.moesif.net"),
        ("https://api.moesif.net/", "https://api.moesif.net"),
        ("https://api.moesif.net/v1/", "https://api.moesif.net"),
        ("http://localhost:9500/collector/v1", "http://localhost:9500/collector"),  # as Moesif documents its own proxy
        ("http://127.0.0.1:8401", "http://127.0.0.1:8401"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8401", "http://[::1]:8401"),
    ],
)
def test_a_base_url_may_have_a_path(given: str, used: str) -> None:
    assert check_url(given) == used


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.moesif.net",
        "ftp://api.moesif.net",
        "https://",
        "https:///v1",
        "https://user:hunter2@api.moesif.net",
        "https://api.moesif.net?hunter2",
        "https://api.moesif.net/#hunter2",
        "https://api.moesif.net\\@hunter2",
        "https://api.moesif.net:hunter2",
        "https://api.moesif.net:99999",
        "https://api.moesif.net /",
        "https://api.moesif.net\n",
        "https://mœsif.net",
        "https://[::1",
        "http://api.moesif.net",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://0.0.0.0",
        "http://10.0.0.1",
    ],
)
def test_a_base_url_that_could_lead_astray_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="SYNC_MOESIF_URL") as refused:
        check_url(url)

    assert "hunter2" not in str(refused.value)


def test_plain_http_to_another_machine_only_when_allowed() -> None:
    assert check_url("http://10.0.0.1:80", allow_plain_http=True) == "http://10.0.0.1:80"


@pytest.mark.parametrize("application_id", ["", "two words", "line\nbreak", "schlüssel", "tab\t"])
def test_an_application_id_that_no_header_can_carry_is_refused_and_not_repeated(application_id: str, clock: Any) -> None:
    with pytest.raises(SettingsError, match="SYNC_MOESIF_APPLICATION_ID") as refused:
        Collector(application_id, clock=clock)

    assert not application_id or application_id not in str(refused.value)
