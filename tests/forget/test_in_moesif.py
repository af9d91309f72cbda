"""Forgetting in Moesif: a real request to the stand-in's Management API, and what each answer means."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sync.errors import SettingsError
from sync.forget import Forgotten
from sync.moesif import Deletion, Limits, Management
from sync.standin import Fault, StandIn
from sync.store import Store
from tests.make import people, standing_clock

Forget = Callable[..., Forgotten]

KEY = "management-key-1"


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn.start(management_key=KEY) as running:
        yield running


@pytest.fixture
def management(standin: StandIn) -> Iterator[Management]:
    with client(standin.url) as made:
        yield made


def client(url: str, key: str = KEY) -> Management:
    return Management(key, url, clock=standing_clock(), limits=Limits(connect=1.0, read=0.4, total=2.0))


def hold(standin: StandIn, *user_ids: str) -> None:
    """Let the stand-in hold users, and an action of each."""
    holdings = standin._holdings
    holdings.take("users", [{"user_id": user_id} for user_id in user_ids])
    actions = [{"action_name": "Bought", "user_id": user_id, "request": {"uri": "https://example.org/"}} for user_id in user_ids]
    holdings.take("actions", list(actions))


def test_a_user_is_deleted_with_all_that_they_did(standin: StandIn, management: Management) -> None:
    hold(standin, "ann", "bob")

    answered = management.delete_user("ann")

    assert (answered.deletion, answered.reason) == (Deletion.DELETED, "200 OK")
    assert set(standin.users()) == {"bob"}
    assert [action["user_id"] for action in standin.actions()] == ["bob"]


def test_a_user_whom_moesif_does_not_know_is_gone_as_well(management: Management) -> None:
    answered = management.delete_user("ann")

    assert answered.deletion is Deletion.NOT_FOUND
    assert answered.is_gone


ODD = ("a/b", "a b", "100%", "%2e%2e", "a?b#c&d=e", "é😀", "../bob", "ann@example.org", "~", "a\\b", ";", "...", "a.")


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_id_means_exactly_that_user(standin: StandIn, management: Management, odd: str) -> None:
    hold(standin, odd, "bob", "ann")

    assert management.delete_user(odd).deletion is Deletion.DELETED

    assert set(standin.users()) == {"bob", "ann"}


@pytest.mark.parametrize("direction", [".", ".."])
def test_an_id_that_would_lead_elsewhere_is_never_asked_about(standin: StandIn, management: Management, direction: str) -> None:
    hold(standin, "bob")

    answered = management.delete_user(direction)

    assert answered.deletion is Deletion.REFUSED
    assert "by hand" in answered.reason
    assert standin.connections == 0


ANSWERS = [
    # What the stand-in is told, what it means, and a part of the reason.
    (Fault(status=401), Deletion.REFUSED, "scope delete:users"),
    (Fault(status=403), Deletion.REFUSED, "scope delete:users"),
    (Fault(status=400), Deletion.REFUSED, "400 Bad Request"),
    (Fault(status=404, content_type="text/html", body="<html>"), Deletion.FAILED, "web page"),
    (Fault(status=200, content_type="text/html", body="<html>"), Deletion.FAILED, "web page"),
    (Fault(status=302, location="http://127.0.0.1:1/"), Deletion.FAILED, "a redirect, not followed"),
    (Fault(status=429, retry_after=7), Deletion.FAILED, "asked to wait 7 s"),
    (Fault(status=503), Deletion.FAILED, "503"),
    (Fault(close="before"), Deletion.FAILED, "connection broke"),
    (Fault(close="after"), Deletion.FAILED, "connection broke"),
    (Fault(delay_seconds=0.8), Deletion.FAILED, "no answer in time"),
    (Fault(status=204), Deletion.DELETED, "204 No Content"),
    (Fault(status=410), Deletion.NOT_FOUND, "410 Gone"),
]


@pytest.mark.parametrize(("fault", "meaning", "reason"), ANSWERS, ids=lambda part: str(getattr(part, "status", "")))
def test_every_answer_has_its_meaning(
    standin: StandIn, management: Management, fault: Fault, meaning: Deletion, reason: str
) -> None:
    standin.misbehave(fault)

    answered = management.delete_user("ann")

    assert answered.deletion is meaning
    assert reason in answered.reason
    assert "ann" not in answered.reason


def test_a_wrong_key_is_refused_and_never_shown(standin: StandIn) -> None:
    with client(standin.url, "another-key") as management:
        answered = management.delete_user("ann")

    assert answered.deletion is Deletion.REFUSED
    assert "another-key" not in str(answered) + repr(management)


def test_moesif_away_is_a_failure_and_no_exception(standin: StandIn) -> None:
    standin.stop()

    with client(standin.url) as management:
        assert management.delete_user("ann").deletion is Deletion.FAILED


def test_urls_and_keys_that_cannot_be_used_are_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="SYNC_MOESIF_MANAGEMENT_URL: plain http only"):
        client("http://api.example.com")
    with pytest.raises(SettingsError, match="SYNC_MOESIF_MANAGEMENT_KEY"):
        client("https://api.example.com", "ä")


def test_the_answer_is_on_the_receipt(store: Store, forgotten: Forget, standin: StandIn, management: Management) -> None:
    people(store, "ann")
    hold(standin, "ann")

    done = forgotten("ann", moesif=management)

    assert done.receipt.in_moesif == "deleted (200 OK)"
    assert forgotten("ann").receipt.in_moesif == "deleted (200 OK)"


def test_what_failed_at_moesif_can_be_asked_again_after_the_user_is_forgotten_here(
    store: Store, forgotten: Forget, standin: StandIn, management: Management
) -> None:
    people(store, "ann")
    hold(standin, "ann")
    standin.misbehave(Fault(status=503))
    first = forgotten("ann", moesif=management)
    assert first.receipt.in_moesif is not None
    assert first.receipt.in_moesif.startswith("failed (503")

    second = forgotten("ann", moesif=management)

    assert second.before
    assert second.receipt.id == first.receipt.id
    assert second.receipt.in_moesif == "deleted (200 OK)"
    assert standin.user("ann") is None


def test_that_moesif_deleted_a_user_is_not_forgotten_when_it_is_asked_once_more(
    store: Store, forgotten: Forget, standin: StandIn, management: Management
) -> None:
    people(store, "ann")
    hold(standin, "ann")
    forgotten("ann", moesif=management)

    again = forgotten("ann", moesif=management)

    assert again.answered is not None
    assert again.answered.deletion is Deletion.NOT_FOUND
    assert again.receipt.in_moesif == "deleted (200 OK)"
