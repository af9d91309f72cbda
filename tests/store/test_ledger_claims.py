"""A claim says what is on its way, and by whose right; an answer to a part of it leaves the rest there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, literal, select

from sync.delivery import Lane, State
from sync.store import Store, debts, erase, leases, ledger, ledger_claims
from sync.store.audiences import Stored
from sync.store.leases import Lease
from sync.store.schema import memberships
from sync.store.wanted import Wanted
from tests.make import NOW, after, audience, people, record, run_of, told

LONG = timedelta(seconds=45)


@pytest.fixture
def buyers(store: Store) -> Stored:
    people(store, "ann", "bob", "cid")
    stored = audience(store)
    record(store, stored, {"ann", "bob", "cid"})
    return stored


def claim(store: Store, lease: Lease | None = None) -> list[debts.Update]:
    with store.writing() as connection:
        return debts.claim(connection, debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=100)), lease)


def taken(store: Store, owner: str) -> Lease:
    with store.writing() as connection:
        (lease,) = leases.take_some(connection, ["send/00"], owner, NOW, LONG, 1)
    return lease


def accept(store: Store, updates: list[debts.Update]) -> None:
    with store.writing() as connection:
        debts.settle_accepted(connection, updates, after())


def abandon(store: Store, **later: float) -> None:
    with store.writing() as connection:
        debts.abandon(connection, "died", after(**later))


def states(store: Store) -> dict[str, int]:
    with store.reading() as connection:
        return {state: number for (_, state), number in ledger.states(connection).items()}


@pytest.mark.usefixtures("buyers")
def test_what_is_in_a_claim_is_on_its_way_and_not_due(store: Store) -> None:
    taken_first = claim(store)

    assert {one.user_id for one in taken_first} == {"ann", "bob", "cid"}
    assert claim(store) == []
    assert states(store) == {"sending": 3}
    with store.reading() as connection:
        assert not debts.waiting(connection)
        assert debts.waiting(connection, on_the_way=True)


@pytest.mark.usefixtures("buyers")
def test_one_who_goes_on_after_the_last_it_took_leaves_out_what_another_has_taken_there(store: Store) -> None:
    mine = Wanted(lane=Lane.USERS, limit=1)
    with store.writing() as connection:
        (ann,) = debts.claim(connection, debts.due_profiles(connection, mine))
        (bob,) = debts.claim(connection, debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=1)))
        (cid,) = debts.claim(connection, debts.due_profiles(connection, mine))

    assert [one.user_id for one in (ann, bob, cid)] == ["ann", "bob", "cid"]


@pytest.mark.parametrize(
    ("behind", "found"), [(0, {3, 7, 20, 21}), (6, {3, 7, 20, 21}), (7, {20, 21}), (20, {20, 21}), (21, set())]
)
def test_claims_that_end_before_somebody_are_not_read_to_find_who_comes_after(store: Store, behind: int, found: set[int]) -> None:
    with store.writing() as connection:
        told = [ledger_claims.Same(1, "true", profiles) for profiles in ([3, 7], [20, 21])]
        ledger_claims.make(connection, [*told, ledger_claims.Same(1, "true", [])], None)

        assert set(connection.scalars(ledger_claims.profiles_of(after=literal(behind)))) == found


def test_whoever_is_claimed_in_whatever_order_is_found_by_the_last(store: Store) -> None:
    with store.writing() as connection:
        ledger_claims.make(connection, [ledger_claims.Same(1, "true", [30, 10, 20])], None)

        assert 30 in set(connection.scalars(ledger_claims.profiles_of(after=literal(25))))


def test_a_row_of_the_ledger_about_nobody_is_not_claimed_and_keeps_nobody_else_from_it(store: Store, buyers: Stored) -> None:
    nobody = 10_000
    with store.writing() as connection:
        row = connection.execute(select(memberships).limit(1)).one()
        connection.execute(insert(memberships).values({**row._mapping, "profile_id": nobody}))

        taken_first = debts.claim(connection, [*debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=100)), nobody])

    assert {one.user_id for one in taken_first} == {"ann", "bob", "cid"}
    assert {one.audience_id for one in taken_first} == {buyers.id}


@pytest.mark.usefixtures("buyers")
def test_parts_of_a_claim_may_have_different_fates(store: Store) -> None:
    ann, bob, cid = claim(store)
    assert ann.claim == bob.claim == cid.claim

    with store.writing() as connection:
        debts.settle_rejected(connection, [bob], "400", after())
    assert states(store) == {"rejected": 1, "sending": 2}
    with store.writing() as connection:
        debts.settle_accepted(connection, [ann], after())
        debts.put_back(connection, [cid])

    assert states(store) == {"rejected": 1, "owed": 1}
    assert told(store, "ann")["buyers"].accepted == "true"
    assert [one.user_id for one in claim(store)] == ["cid"]


@pytest.mark.usefixtures("buyers")
def test_what_is_in_claims_beside_one_of_which_everybody_was_erased_is_still_on_its_way(store: Store) -> None:
    with store.writing() as connection:
        taken_first = debts.claim(connection, debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=100)), portion=1)
    assert len({one.claim for one in taken_first}) == 3
    bob = next(one for one in taken_first if one.user_id == "bob")

    with store.writing() as connection:
        erase.erase(connection, bob.profile_id, after())

    assert claim(store) == []
    assert states(store) == {"sending": 2}


@pytest.mark.usefixtures("buyers")
def test_an_answer_about_one_who_was_erased_is_not_taken_for_one_about_the_others(store: Store) -> None:
    ann, bob, cid = claim(store)
    with store.writing() as connection:
        erase.erase(connection, cid.profile_id, after())

    with store.writing() as connection:
        debts.settle_rejected(connection, [cid], "400", after())
        debts.settle_accepted(connection, [ann, bob], after())

    assert states(store) == {}
    assert told(store, "ann")["buyers"].accepted == told(store, "bob")["buyers"].accepted == "true"


@pytest.mark.usefixtures("buyers")
def test_an_answer_that_comes_after_the_claim_was_abandoned_changes_nothing(store: Store) -> None:
    sent = claim(store)
    abandon(store)

    accept(store, sent)

    assert states(store) == {"unknown": 3}
    assert told(store, "ann")["buyers"].accepted is None


@pytest.mark.usefixtures("buyers")
def test_a_claim_lasts_as_long_as_the_right_by_which_it_was_made(store: Store) -> None:
    claim(store, taken(store, "one"))

    abandon(store, seconds=44)
    assert states(store) == {"sending": 3}
    abandon(store, seconds=46)
    assert states(store) == {"unknown": 3}


@pytest.mark.usefixtures("buyers")
def test_a_claim_of_one_who_gave_back_its_right_or_lost_it_to_itself_is_dead(store: Store) -> None:
    first = taken(store, "one")
    claim(store, first)
    with store.writing() as connection:
        leases.give_back(connection, [first])

    second = taken(store, "one")
    abandon(store)

    assert second.epoch > first.epoch
    assert states(store) == {"unknown": 3}


def test_a_value_that_returns_to_what_was_accepted_while_another_is_on_its_way_is_told_again(store: Store, buyers: Stored) -> None:
    accept(store, claim(store))
    out = record(store, buyers, {"bob", "cid"}, after(days=1))
    sent = claim(store)
    back = record(store, buyers, {"ann", "bob", "cid"}, after(days=2))
    assert states(store) == {"sending": 1}

    accept(store, sent)

    assert told(store, "ann")["buyers"].state == State.OWED.value
    assert [one.value for one in claim(store)] == ["true"]
    assert run_of(store, out).balanced
    assert (run_of(store, back).owed, run_of(store, back).balanced) == (1, True)
