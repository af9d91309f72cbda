"""The OpenAPI document against a live server: what it allows is answered as it says, what it forbids is no 500."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from sync.delivery import Lane
from sync.store import metadata_types
from sync.web.api.openapi import document
from sync.web.api.operations import OPERATIONS, Operation
from tests.make import NOW, audience, identify, keep, record, track

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SCHEMA = schemathesis.openapi.from_dict(document(OPERATIONS))
EXAMPLES = 20

bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def peopled(shared_place: Any) -> Any:
    """The shared server, with somebody in its store."""
    keep(shared_place.store, identify("ann", {"plan": "gold"}, anonymous_id="a1"), track("ann"), forward=True)
    record(shared_place.store, audience(shared_place.store, "peopled"), ["ann"])
    with shared_place.store.writing() as connection:
        metadata_types.learn(connection, Lane.USERS, {"plan": "string"}, NOW)
    return shared_place


def of(operation: Operation) -> Any:
    return SCHEMA[operation.path][operation.method]


def names(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS, ids=names)
def test_whatever_is_asked_is_answered_as_the_document_says(peopled: Any, operation: Operation, mode: GenerationMode) -> None:
    @bounded
    @given(case=of(operation).as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        headers = {"authorization": "Bearer token-of-operators"}
        answer = case.call(base_url=peopled.url, headers=headers, timeout=10, allow_redirects=False)
        # A path that is taken apart differently is another route's, or nobody's.
        if answer.status_code not in (404, 405):
            case.validate_response(answer, checks=CHECKS)
        assert answer.status_code < 500

    ask()


@pytest.mark.parametrize("operation", OPERATIONS, ids=names)
def test_what_is_there_is_answered_in_the_documented_shape(peopled: Any, operation: Operation) -> None:
    known = {"key": "peopled", "id": "ann", "lane": "users", "space": "default", "profile": "user_id:ann"}
    if operation.path == "/api/deliveries/{id}":
        known["id"] = peopled.get("/api/deliveries?state=owed").json()["items"][0]["id"]
    bodies = {"/api/deliveries/retry": {"all": True}, "/api/types/{lane}/forget": {"metadata_key": "plan"}}
    body = bodies.get(operation.path)
    path = {one.name: known[one.name] for one in operation.in_path}
    case = of(operation).Case(path_parameters=path, **({} if body is None else {"body": body, "media_type": "application/json"}))

    answer = case.call(base_url=peopled.url, headers={"authorization": "Bearer token-of-operators"}, timeout=10)

    assert answer.status_code == operation.status
    case.validate_response(answer, checks=CHECKS)


def test_the_document_is_served(place: Any) -> None:
    assert place.get("/api/openapi.json").json() == document(OPERATIONS)
