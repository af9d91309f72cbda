"""What was not understood goes, too, where it names the user, and is not kept where it names one who was forgotten."""

from __future__ import annotations

from sqlalchemy import select

from sync.store import Store
from sync.store.schema import rejected_calls
from tests.forget.lives import Forget, refuse
from tests.make import identify, keep, people


def bodies(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.scalars(select(rejected_calls.c.body).order_by(rejected_calls.c.id)))


NAMES_ANN = (
    '{"userId":"ann","type":"nonsense"}',
    '{"batch":[{"user":{"friends":["ann"]}}]}',
    # Escapes say the same.
    '{"userId":"\\u0061nn"}',
    # Not JSON, or cut off: then as a word.
    "userId=ann&event=X",
    '{"userId":"ann","properties":{"text":"' + "x" * 50,
    '{"anonymousId":"a-1"}',
)
NAMES_OTHERS = (
    '{"userId":"anna"}',
    '{"userId":"bob","properties":{"text":"dear ann, hello"}}',
    "userId=joanne",
    '{"userId":"Ann"}',
    "nothing at all",
)


def test_rejected_calls_that_name_the_user_go_and_others_stay(store: Store, forgotten: Forget) -> None:
    keep(store, identify("ann", anonymous_id="a-1"))
    refuse(store, *NAMES_ANN, *NAMES_OTHERS)

    done = forgotten("ann")

    assert bodies(store) == list(NAMES_OTHERS)
    assert done.receipt.erased["rejected_calls"] == len(NAMES_ANN)


def test_rejected_calls_are_found_however_many_there_are(store: Store, forgotten: Forget) -> None:
    people(store, "ann")
    refuse(store, *(f'{{"userId":"{user}"}}' for number in range(2_500) for user in ("ann", f"user-{number}")))

    assert forgotten("ann").receipt.erased["rejected_calls"] == 2_500
    assert len(bodies(store)) == 2_500


def test_an_id_that_came_as_a_number_is_found_in_fields_for_ids(store: Store, forgotten: Forget) -> None:
    people(store, "17")
    refuse(
        store, '{"userId":17}', '{"user_id" : 17, "event": 1}', '{"userId":"x","quantity":17}', '{"userId":170}', '{"userId":17.5}'
    )

    forgotten("17")

    assert bodies(store) == ['{"userId":"x","quantity":17}', '{"userId":170}', '{"userId":17.5}']


def test_calls_that_are_not_understood_are_not_kept_where_they_name_a_forgotten_user(store: Store, forgotten: Forget) -> None:
    keep(store, identify("ann", anonymous_id="a-1"))
    forgotten("ann")

    refuse(store, '{"userId":"ann","traits":7}', '{"anonymousId":"a-1"}', '{"userId":"bob"}', "no JSON")

    assert bodies(store) == ['{"userId":"bob"}', "no JSON"]
