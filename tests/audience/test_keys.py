"""Keys: what a name gives, and what may be one."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync.audience import RESERVED, check_key, key_of


@pytest.mark.parametrize(
    ("name", "key"),
    [
        # The contract's own examples.
        ("Order Completed Last 30days", "order_completed_last_30days"),
        ("OrderCompleted", "order_completed"),
        ("Café Clients", "cafe_clients"),
        # Accents go before capitals are looked at.
        ("CaféClients", "cafe_clients"),
        # Runs of capitals are one word.
        ("HTTPServer 2", "http_server_2"),
        # Everything else is one underscore, and none at the ends.
        ("  VIP -- (EU) & friends!  ", "vip_eu_friends"),
        ("a__b", "a_b"),
        # What is Latin stays.
        ("日本 clients", "clients"),
        ("x" * 100, "x" * 100),
    ],
)
def test_a_name_gives_its_snake_case(name: str, key: str) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize("name", ["日本", "$$$", "", "   ", "30 days", "_", "x" * 101])
def test_a_name_that_gives_no_key_is_refused_with_the_advice_to_write_one(name: str) -> None:
    with pytest.raises(ValueError, match="write `key:`"):
        key_of(name)


@pytest.mark.parametrize("key", ["a", "big_spender", "a1", "a__b_", "x" * 100])
def test_a_valid_key_is_accepted(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["", "A", "1a", "_a", "a-b", "a b", "é", "a\n", "x" * 101, "Big Spender"])
def test_a_key_of_any_other_form_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters, digits and underscores"):
        check_key(key)


def test_a_refused_key_comes_with_the_nearest_that_is_right() -> None:
    with pytest.raises(ValueError, match=r"for example big_spender$"):
        check_key("Big-Spender")


@pytest.mark.parametrize(
    "key",
    ["email", "first_name", "firstName", "company", "company_id", "user_id", "photo_url", "created_at", "createdAt", "name", "id"],
)
def test_a_reserved_trait_is_no_key(key: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        check_key(key)


def test_every_reserved_trait_is_reserved_in_snake_case_too() -> None:
    assert {key_of(name) for name in RESERVED} <= RESERVED


@given(st.text(max_size=120))
@example("aB1C")
@example("ABCDef_9x")
def test_what_a_name_gives_is_a_valid_key_that_gives_itself(name: str) -> None:
    try:
        key = key_of(name)
    except ValueError:
        return

    assert re.fullmatch(r"[a-z][a-z0-9_]{0,99}", key)
    assert key_of(key) == key


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}([ _-][A-Za-z0-9]{1,8}){0,4}", fullmatch=True))
def test_words_of_letters_and_digits_always_give_a_key(name: str) -> None:
    assert key_of(key_of(name)) == key_of(name)
