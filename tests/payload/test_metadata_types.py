"""Which type each key of a document's metadata has, and when it clashes with the one it is held to."""

from __future__ import annotations

from typing import Any

import pytest

from sync.payload import Clash, fits, typed_keys, weighed
from sync.payload.metadata_types import KEY_LENGTH


@pytest.mark.parametrize(
    ("metadata", "types"),
    [
        ({"plan": "gold", "in": True, "n": 1, "x": 1.5}, {"plan": "string", "in": "boolean", "n": "number", "x": "number"}),
        ({"a": None, "b": [], "c": [None]}, {}),
        ({"address": {"city": "Oslo", "zip": {"n": 1}}}, {"address": "object", "address.city": "string", "address.zip": "object",
                                                           "address.zip.n": "number"}),
        ({"tags": ["a", "b"], "grid": [[1], [2.5]]}, {"tags": "string", "grid": "number"}),
        ({"items": [{"sku": "x"}, {"price": 2}]}, {"items": "object", "items.sku": "string", "items.price": "number"}),
        ({"empty": {}, "": "nameless"}, {"empty": "object", "": "string"}),
        ({"k" * (KEY_LENGTH + 1): 1, "o": {"k" * KEY_LENGTH: 1}}, {"o": "object"}),
    ],
)  # fmt: skip
def test_every_key_has_the_type_of_its_value(metadata: Any, types: dict[str, str]) -> None:
    assert dict(typed_keys({"user_id": "ann", "metadata": metadata})) == types


@pytest.mark.parametrize("metadata", [{}, {"plan": "gold", "n": 1.5}, {"plan": None, "o": {"tags": ["a", ["b"]]}}])
def test_a_document_fits_where_every_key_is_held_to_the_type_that_it_has(metadata: Any) -> None:
    held = {"plan": "string", "n": "number", "o": "object", "o.tags": "string"}

    assert fits({"metadata": metadata}, held)
    assert fits({"user_id": "ann"}, held)
    assert not fits({"metadata": metadata | {"new": 1}}, held)


def test_a_document_without_metadata_has_no_typed_keys() -> None:
    assert list(typed_keys({"user_id": "ann", "company_id": "acme"})) == []


def test_keys_that_are_held_to_nothing_yet_are_returned() -> None:
    assert weighed({"metadata": {"plan": "gold", "n": 2}}, {"plan": "string"}) == {"n": "number"}


@pytest.mark.parametrize(
    ("metadata", "key", "wanted", "found"),
    [
        ({"plan": 3}, "plan", "string", "number"),
        ({"plan": ["gold", True]}, "plan", "string", "boolean"),
        ({"address": "Oslo"}, "address", "object", "string"),
        ({"address": {"zip": "0150"}}, "address.zip", "number", "string"),
        ({"mixed": [1, "two"]}, "mixed", "number", "string"),
    ],
)
def test_a_clash_names_key_and_types_and_never_the_value(metadata: Any, key: str, wanted: str, found: str) -> None:
    held = {"plan": "string", "address": "object", "address.zip": "number"}

    clash = weighed({"metadata": metadata}, held)

    assert not fits({"metadata": metadata}, held)
    assert clash == Clash(key=key, wanted=wanted, found=found)
    assert str(clash) == f"metadata key {key}: {found} found, {wanted} wanted, since Moesif holds a key to its first type"
