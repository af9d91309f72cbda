"""The table of routes as an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sync import __version__
from sync.json_value import Json
from sync.web.api.operations import Operation
from sync.web.api.parameters import Parameter
from sync.web.api.schemas import SCHEMAS, ref

_ERRORS: Final[Mapping[str, str]] = {
    "400": "A parameter is wrong; the message says which, and what would be right.",
    "401": "The token is missing or wrong.",
    "403": "Without SYNC_API_TOKEN this is served on loopback only; or a page of another site has asked.",
    "404": "There is no such thing.",
    "503": "The store is away; Retry-After says when to come again.",
}
_ERRORS_OF_BODIES: Final[Mapping[str, str]] = {
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body is not JSON, or its encoding is none that is known.",
    "429": "Too much is being read; Retry-After says when to come again.",
}


def _asked_by_balancers(id: str, summary: str, schema: str, otherwise: str) -> dict[str, Json]:
    """A route that wants no token."""
    responses: dict[str, Json] = {"200": _answer(summary, schema), "503": _answer(otherwise, schema)}
    return {"get": {"operationId": id, "summary": summary, "security": [], "responses": responses}}


def _answer(meaning: str, schema: str) -> dict[str, Json]:
    return {"description": meaning, "content": {"application/json": {"schema": ref(schema)}}}


_HEALTH: Final[Mapping[str, Json]] = {
    "/healthz": _asked_by_balancers("health", "This process is alive", "Alive", "It can store nothing any more; start it anew."),
    "/readyz": _asked_by_balancers(
        "readiness",
        "This process takes calls; `degraded` names what is not as it should be",
        "Ready",
        "Send calls elsewhere. With SYNC_SPOOL: neither store nor spool takes them. Without: the store cannot be used, its schema "
        "is another, or no scheduler's heart beats.",
    ),
}


def document(operations: Sequence[Operation]) -> dict[str, Json]:
    """Write the OpenAPI document of these routes."""
    paths: dict[str, Json] = dict(_HEALTH)
    for operation in operations:
        methods = paths.setdefault(operation.path, {})
        assert isinstance(methods, dict)
        methods[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "personas-sync",
            "version": __version__,
            "description": "Who is in which audience, since when, why, what Moesif accepted, and what is still owed.",
        },
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": {name: dict(schema) for name, schema in SCHEMAS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "SYNC_API_TOKEN."},
                "basic": {"type": "http", "scheme": "basic", "description": "SYNC_API_TOKEN as user name, without a password."},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Json]:
    parameters: list[Json] = [_parameter(one, "path") for one in operation.in_path]
    parameters += [_parameter(one, "query") for one in operation.query]
    name = operation.answered_by.__name__
    written: dict[str, Json] = {
        "operationId": f"profile_{name}" if operation.is_profile else name,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": _responses(operation),
    }
    return written | ({"requestBody": _body(operation)} if operation.body else {})


def _parameter(parameter: Parameter, place: str) -> dict[str, Json]:
    schema = dict(parameter.schema)
    example = schema.pop("example", None)
    written: dict[str, Json] = {
        "name": parameter.name,
        "in": place,
        "required": place == "path",
        "description": parameter.meaning,
        "schema": schema,
    }
    return written | ({} if example is None else {"example": example})


def _body(operation: Operation) -> dict[str, Json]:
    fields: dict[str, Json] = {one.name: {**one.schema, "description": one.meaning} for one in operation.body}
    schema: dict[str, Json] = {"type": "object", "properties": fields, "additionalProperties": False}
    if operation.one_of:
        schema["oneOf"] = [_any_of(names) for names in operation.one_of]
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _any_of(names: Sequence[str]) -> dict[str, Json]:
    alternatives: list[Json] = [{"required": [name]} for name in names]
    return {"anyOf": alternatives} if len(alternatives) > 1 else {"required": [*names]}


def _responses(operation: Operation) -> dict[str, Json]:
    said = {**_ERRORS, **(_ERRORS_OF_BODIES if operation.body else {})}
    if operation.may_conflict:
        said["409"] = "It cannot be done as things stand."
    of_body = {*_ERRORS_OF_BODIES}
    errors: dict[str, Json] = {
        status: _answer(meaning, "ProfileError" if operation.is_profile and status not in ("401", "403", *of_body) else "Error")
        for status, meaning in sorted(said.items())
    }
    return {str(operation.status): _answer(operation.summary, operation.answer), **errors}
