"""The JSON Schema of a definitions file: reviewed as text, and in step with the reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import pytest
import yaml

from sync.definitions import InvalidDefinitions, schema

GOOD = {
    "audience": {
        "name": "'A'",
        "key": "a",
        "description": "text",
        "query": "q",
        "every": "15 minutes",
        "cron": '"0 */6 * * *"',
        "timezone": "Europe/Berlin",
        "schedule": "manual",
        "guard": "{max_exits: 20%, max_entries: 500}",
        "enabled": "true",
    },
}
GOOD["computed_trait"] = {name: text for name, text in GOOD["audience"].items() if name != "guard"}
GOOD["defaults"] = {name: text for name, text in GOOD["audience"].items() if name not in ("name", "key", "description", "query")}
GOOD["guard"] = {"max_exits": "20%", "max_entries": "500"}


class Golden(Protocol):
    def check(self, name: str, text: str) -> None: ...


def properties(name: str | None = None) -> Mapping[str, Any]:
    document = cast("dict[str, Any]", schema())
    return cast("Mapping[str, Any]", (document["definitions"][name] if name else document)["properties"])


def document(scope: str, fields: Mapping[str, str]) -> str:
    """Return a file in which a mapping of this scope has these fields."""
    inside = "{" + ", ".join(f"{name}: {text}" for name, text in fields.items()) + "}"
    return {
        "audience": f"audiences: [{inside}]",
        "computed_trait": f"computed_traits: [{inside}]",
        "defaults": f"defaults: {inside}",
        "guard": f"audiences: [{{name: A, query: q, guard: {inside}}}]",
    }[scope]


def test_the_schema_is_the_one_that_was_reviewed(golden: Golden) -> None:
    golden.check("definitions/schema.json", json.dumps(schema(), indent=2) + "\n")


def test_every_field_of_the_schema_is_described() -> None:
    fields = [field for scope in (None, *GOOD) for field in properties(scope).values()]

    assert all(field["description"].endswith(".") for field in fields)


@pytest.mark.parametrize("scope", GOOD)
def test_the_schema_names_exactly_the_fields_that_are_tested_here(scope: str) -> None:
    assert set(properties(scope)) == set(GOOD[scope])


@pytest.mark.parametrize(("scope", "field"), [(scope, field) for scope, fields in GOOD.items() for field in fields])
def test_every_field_of_the_schema_is_read(read_texts: Callable[[str], object], scope: str, field: str) -> None:
    needed = {name: GOOD[scope][name] for name in ("name", "query") if name in GOOD[scope]}
    beside = {"cron": GOOD[scope]["cron"]} if field == "timezone" else {}

    read_texts(document(scope, needed | beside | {field: GOOD[scope][field]}))


@pytest.mark.parametrize("scope", GOOD)
def test_a_field_that_is_not_in_the_schema_is_not_read(read_texts: Callable[[str], object], scope: str) -> None:
    with pytest.raises(InvalidDefinitions, match="has no field `other`"):
        read_texts(document(scope, GOOD[scope] | {"other": "1"}))


VALID = [
    "audiences:\n  - name: A\n    query: q\n    every: 15 minutes\n"
    "    guard: {max_exits: 20%, max_entries: 5}\n    enabled: true\n",
    "audiences:\n  - {name: A, key: a, query: q, cron: '0 */6 * * *', timezone: Europe/Berlin, guard: off}\n",
    "defaults: {every: 1 Minute, guard: {max_exits: 0.5%}, enabled: false}\n"
    "computed_traits:\n  - {name: A, query: q, schedule: manual}\n",
    "defaults:\naudiences:\n",
]
INVALID = [
    "other: []",
    "audiences: {}",
    "audiences: [{name: A}]",
    "audiences: [{query: q}]",
    "audiences: [{name: 1, query: q}]",
    "audiences: [{name: A, query: q, colour: red}]",
    "audiences: [{name: A, key: Big Spender, query: q}]",
    "audiences: [{name: A, query: q, every: 15}]",
    "audiences: [{name: A, query: q, every: often}]",
    "audiences: [{name: A, query: q, every: 1 day, cron: 0 0 * * *}]",
    "audiences: [{name: A, query: q, every: 1 day, schedule: manual}]",
    "audiences: [{name: A, query: q, timezone: UTC}]",
    "audiences: [{name: A, query: q, schedule: hourly}]",
    "audiences: [{name: A, query: q, guard: on}]",
    "audiences: [{name: A, query: q, guard: {}}]",
    "audiences: [{name: A, query: q, guard: {max_exits: lots}}]",
    "audiences: [{name: A, query: q, guard: {max_exits: -1}}]",
    "audiences: [{name: A, query: q, enabled: 'true'}]",
    "computed_traits: [{name: A, query: q, guard: off}]",
    "defaults: {query: q}",
]


@pytest.mark.parametrize(("text", "valid"), [(text, True) for text in VALID] + [(text, False) for text in INVALID])
def test_the_schema_and_the_reader_agree_about_a_file(read_texts: Callable[[str], object], text: str, valid: bool) -> None:
    validator = pytest.importorskip("jsonschema_rs", reason="pip install jsonschema-rs").validator_for(schema())

    accepted = validator.is_valid(yaml.safe_load(text))
    try:
        read_texts(text)
        was_read = True
    except InvalidDefinitions:
        was_read = False

    assert (accepted, was_read) == (valid, valid)
