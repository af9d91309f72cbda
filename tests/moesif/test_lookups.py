"""Looking up a name is a part of the exchange, and no longer than it (row 27)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trustme

from sync.moesif.wire import Answer, Limits, NotSent, Wire
from sync.standin import StandIn
from tests.moesif.fronts import Front

NAME = "collector.example"
UNRESOLVED = NotSent(reason="the host's name could not be looked up")


class Resolver:
    """One of a test's own, which knows one name and may keep whoever asks waiting."""

    def __init__(self, *addresses: str, seconds: float = 0.0) -> None:
        self.addresses = addresses
        self.seconds = seconds
        self.asked = 0
        self.go_on = threading.Event()

    def __call__(self, name: str) -> Sequence[str]:
        assert name == NAME
        self.asked += 1
        self.go_on.wait(self.seconds)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return self.addresses


@pytest.fixture
def wired() -> Iterator[Callable[..., Wire]]:
    made: list[tuple[Wire, Resolver]] = []

    def start(resolver: Resolver, *, connect: float = 0.5, total: float = 1.0, **more: Any) -> Wire:
        wire = Wire(Limits(connect=connect, read=0.5, total=total), look_up=resolver, **more)
        made.append((wire, resolver))
        return wire

    yield start
    for wire, resolver in made:
        resolver.go_on.set()
        wire.close()


def at(url: str) -> str:
    """Return a URL in which the name stands instead of the address."""
    return f"{url.replace('127.0.0.1', NAME)}/health/probe"


def test_a_name_that_is_not_answered_in_time_ends_the_exchange_at_its_deadline(wired: Any, standin: StandIn) -> None:
    began = time.monotonic()

    told = wired(Resolver("127.0.0.1", seconds=30)).ask("GET", at(standin.url), {})

    assert told == UNRESOLVED
    assert 1.0 <= time.monotonic() - began < 1.5


def test_a_name_that_is_answered_late_but_in_time_is_connected_to(wired: Any, standin: StandIn) -> None:
    told = wired(Resolver("127.0.0.1", seconds=0.6)).ask("GET", at(standin.url), {})

    assert isinstance(told, Answer)


def test_a_name_that_nobody_knows_is_not_sent_to(wired: Any, standin: StandIn) -> None:
    assert wired(Resolver()).ask("GET", at(standin.url), {}) == UNRESOLVED


def test_whoever_waits_for_the_same_name_waits_for_one_look_up(wired: Any, standin: StandIn) -> None:
    resolver = Resolver("127.0.0.1", seconds=30)
    wire = wired(resolver)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            assert set(pool.map(lambda _: wire.ask("GET", at(standin.url), {}), range(4))) == {UNRESOLVED}

    assert resolver.asked == 1


def test_once_names_are_answered_again_it_goes_on(wired: Any, standin: StandIn) -> None:
    resolver = Resolver("127.0.0.1", seconds=30)
    wire = wired(resolver)
    wire.ask("GET", at(standin.url), {})

    resolver.go_on.set()

    assert isinstance(wire.ask("GET", at(standin.url), {}), Answer)


def test_other_connections_go_on_while_a_name_is_not_answered(wired: Any, standin: StandIn) -> None:
    """What is connected needs no name: the thread that waits is alone."""
    resolver = Resolver("127.0.0.1")
    wire = wired(resolver)
    assert isinstance(wire.ask("GET", at(standin.url), {}), Answer)
    resolver.seconds = 30
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wire.ask, "GET", at(standin.url), {})

        began = time.monotonic()
        assert isinstance(wire.ask("GET", at(standin.url), {}), Answer)

        assert time.monotonic() - began < 0.5
        assert waiting.result() == UNRESOLVED


def test_the_first_address_that_answers_is_taken_and_the_dead_ones_before_it_take_no_more_than_their_share(
    wired: Any, standin: StandIn, dead: str
) -> None:
    began = time.monotonic()

    told = wired(Resolver(dead, "127.0.0.1"), connect=0.3).ask("GET", at(standin.url), {})

    assert isinstance(told, Answer)
    assert 0.3 <= time.monotonic() - began < 0.8


def test_dead_addresses_together_take_no_longer_than_the_exchange(wired: Any, standin: StandIn, dead: str) -> None:
    began = time.monotonic()

    told = wired(Resolver(*[dead] * 10), connect=0.3).ask("GET", at(standin.url), {})

    assert told == NotSent(reason="no connection in time")
    assert time.monotonic() - began < 1.5


@pytest.fixture
def dead(standin: StandIn) -> Iterator[str]:
    """Yield another loopback address, at which nobody answers at the stand-in's port: its queue is full."""
    port = int(standin.url.rpartition(":")[2])
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", port))
        yield "127.0.0.2"
        for one in waiting:
            one.close()


def test_a_certificate_is_held_to_the_name_and_not_to_the_address(wired: Any, standin: StandIn, tmp_path: Any) -> None:
    authority = trustme.CA()
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    told = []
    for name in (NAME, "127.0.0.1"):
        with Front(authority.issue_cert(name), standin.url) as front:
            told.append(wired(Resolver("127.0.0.1"), authorities=trusted).ask("GET", at(front.url), {}))

    assert isinstance(told[0], Answer)
    assert told[1] == NotSent(reason="no secure connection: the certificate or the protocol was refused")


def test_this_machines_own_resolver_is_asked_without_further_words(standin: StandIn) -> None:
    wire = Wire(Limits())

    told = wire.ask("GET", at(standin.url).replace(NAME, "localhost"), {})

    wire.close()
    assert isinstance(told, Answer)
