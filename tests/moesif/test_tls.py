"""Whoever answers at Moesif's address has to prove it, or is told nothing: not the key, nor anything about anybody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from sync.delivery import Accepted, Lane, Later
from sync.json_value import Json
from sync.moesif import Collector, Limits
from sync.settings import InvalidSettings, read
from sync.standin import StandIn
from tests.moesif.fronts import Front

ANN: dict[str, Json] = {"user_id": "ann@example.com"}
OURS, ANOTHERS = trustme.CA(), trustme.CA()
YESTERDAY = datetime.now(UTC) - timedelta(days=1)  # noqa: TID251 - certificates are judged by the system's clock


@pytest.fixture
def trusting(tmp_path: Path, clock: Callable[[], datetime]) -> Callable[[str], Collector]:
    """Make a collector that trusts our authority alone."""
    OURS.cert_pem.write_to_path(tmp_path / "ca.pem")

    def made(url: str) -> Collector:
        return Collector("app-1", url, clock=clock, authorities=tmp_path / "ca.pem", limits=Limits(connect=2, read=5, total=10))

    return made


def test_one_who_proves_to_be_who_was_asked_for_is_sent_everything(standin: StandIn, trusting: Callable[[str], Collector]) -> None:
    with Front(OURS.issue_cert("127.0.0.1"), standin.url) as front, trusting(front.url) as collector:
        outcome = collector.post(Lane.USERS, [ANN])

    assert (outcome, front.refusals) == (Accepted(), [])
    assert b"app-1" in b"".join(front.heard)
    assert standin.users() == {"ann@example.com": ANN}


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param(ANOTHERS.issue_cert("127.0.0.1"), id="of an authority that nobody knows"),
        pytest.param(OURS.issue_cert("api.moesif.net", "127.0.0.2"), id="for another host"),
        pytest.param(OURS.issue_cert("127.0.0.1", not_after=YESTERDAY), id="that has run out"),
    ],
)
def test_a_certificate_that_proves_nothing_is_told_nothing_and_all_stays_owed(
    standin: StandIn, trusting: Callable[[str], Collector], certificate: trustme.LeafCert
) -> None:
    with Front(certificate, standin.url) as front, trusting(front.url) as collector:
        outcome = collector.post(Lane.USERS, [ANN])
        probe = collector.probe()

    assert isinstance(outcome, Later)
    assert outcome.reason == probe.reason == "no secure connection: the certificate or the protocol was refused"
    assert (front.heard, len(front.refusals)) == ([], 2)


def test_without_a_file_of_certificates_the_public_authorities_count(standin: StandIn, clock: Callable[[], datetime]) -> None:
    with Front(OURS.issue_cert("127.0.0.1"), standin.url) as front, Collector("app-1", front.url, clock=clock) as collector:
        outcome = collector.post(Lane.USERS, [ANN])

    assert isinstance(outcome, Later)
    assert front.heard == []


@pytest.mark.parametrize(
    ("content", "why"), [(None, "no such file"), (b"", "there is none in it"), (b"hush", "there is none in it")]
)
def test_a_file_that_holds_no_certificates_is_a_wrong_setting(tmp_path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)

    with pytest.raises(InvalidSettings, match=rf"SYNC_MOESIF_CA_FILE \(environment\): expected .*: {why}"):
        read({"SYNC_MOESIF_CA_FILE": str(tmp_path / "ca.pem")})
