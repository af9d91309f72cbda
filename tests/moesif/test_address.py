"""Where nothing is ever sent, however it is written and whatever a name leads to."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from sync.delivery import Later
from sync.errors import SettingsError
from sync.moesif import Collector, Limits
from sync.moesif.address import check_url
from sync.moesif.answers import outcome_of
from sync.moesif.wire import NotSent, Wire
from sync.settings import is_forbidden
from tests.make import NOW

METADATA = [
    "169.254.169.254",
    "169.254.0.1",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "[::]",
    "224.0.0.1",
    "[ff02::1]",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata.goog",
]
ODD = [
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "169.254.43518",
    "127.1",
    "017700000001",
    "%31%36%39.254.169.254",
    "[fe80::1%25eth0]",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", [*METADATA, *ODD])
def test_no_spelling_of_a_metadata_service_is_a_base_url(scheme: str, host: str) -> None:
    with pytest.raises(SettingsError, match="SYNC_MOESIF_URL") as refused:
        check_url(f"{scheme}://{host}:80/v1", allow_plain_http=True)

    assert host not in str(refused.value)


@pytest.mark.parametrize(
    "host", ["api.moesif.net", "10.1.2.3", "192.168.0.9", "[fd12::1]", "[2001:db8::1]", "127.0.0.1", "169.253.1.1", "0xmoesif.net"]
)
def test_other_hosts_and_private_networks_are_fine(host: str) -> None:
    assert check_url(f"https://{host}/v1") == f"https://{host}"


def test_the_rule_holds_for_the_management_api_and_before_anything_is_asked(clock: Any) -> None:
    with pytest.raises(SettingsError, match="SYNC_MOESIF_MANAGEMENT_URL"):
        check_url("https://169.254.169.254", setting="SYNC_MOESIF_MANAGEMENT_URL")
    with pytest.raises(SettingsError, match="metadata"):
        Collector("key", "http://169.254.169.254", clock=clock, allow_plain_http=True)


@pytest.mark.parametrize("peer", ["fe80::1%eth0", "::ffff:169.254.169.254", "169.254.169.254"])
def test_the_peer_of_a_connection_is_judged_as_the_system_names_it(peer: str) -> None:
    assert is_forbidden(peer)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_leads_to_a_forbidden_address_is_sent_not_a_byte(scheme: str) -> None:
    """The name was fine when it was looked at; where it leads is known only once it is connected. TLS must not begin, either."""
    asked: list[str] = []
    wire = Wire(Limits(connect=1.0), is_forbidden=lambda peer: not asked.append(peer))  # type: ignore[func-returns-value]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://localhost:{listener.getsockname()[1]}/v1/users/batch"

        told = wire.ask("POST", url, {"X-Moesif-Application-Id": "key"}, b"[]")

        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b""
    assert isinstance(told, NotSent)
    assert isinstance(outcome_of(told, [], NOW), Later)
    assert (asked, "metadata" in told.reason) == (["127.0.0.1"], True)
