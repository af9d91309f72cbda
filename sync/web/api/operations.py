"""The table of routes. What is served, what the OpenAPI document says and what docs/api.md lists come from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sync.json_value import Json
from sync.web.api import audiences, calls, deliveries, profiles, types, users
from sync.web.api.parameters import LARGEST, Parameter, flag, instant, one_of, switch, text, texts, whole, words

PROFILE: Final = "/v1/spaces/{space}/collections/users/profiles/{profile}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One thing that can be asked for."""

    method: str
    path: str
    """Parts in braces are parameters of `IN_PATH`."""
    summary: str
    answered_by: Callable[..., Json]
    """Called with the program and every parameter by name; may block."""
    answer: str
    """The name of a schema."""
    status: int = 200
    query: tuple[Parameter, ...] = ()
    body: tuple[Parameter, ...] = ()
    """Fields of a JSON object; none where no body is read."""
    one_of: tuple[tuple[str, ...], ...] = ()
    """Sets of fields of the body: exactly one set is to be given, any of its fields."""
    may_conflict: bool = False

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path."""
        return tuple(self.path.strip("/").split("/"))

    @property
    def in_path(self) -> tuple[Parameter, ...]:
        """The parameters in the path, in order."""
        return tuple(IN_PATH[part[1:-1]] for part in self.segments if part.startswith("{"))

    @property
    def is_profile(self) -> bool:
        """Whether it is of Segment's Profile API, whose errors have a shape of their own."""
        return self.path.startswith("/v1/")


IN_PATH: Final[Mapping[str, Parameter]] = {
    parameter.name: parameter
    for parameter in (
        text("key", "Key of an audience or computed trait.", example="order_completed_last_30days"),
        text("id", "User id, or a delivery's id."),
        one_of("lane", "Of what Moesif is told.", ("users", "actions", "companies")),
        text("space", "Id of the space: SYNC_SPACE.", example="default"),
        text("profile", "`user_id:ID` or `anonymous_id:ID`.", example="user_id:ann"),
    )
}

_AT: Final = instant("at", "The instant that counts as now: a date or a time, without a zone in UTC. Default: now.")
_NEXT: Final = text("next", "What the cursor of the page before said.")

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/api/audiences",
        summary="List audiences and computed traits",
        answered_by=audiences.audiences,
        answer="Audiences",
        query=(switch("retired", "Retired ones too."),),
    ),
    Operation(
        method="GET",
        path="/api/audiences/{key}",
        summary="Show one: definition, size, schedule, last run, what its query reads",
        answered_by=audiences.audience,
        answer="AudienceShown",
        query=(whole("limit", "Sizes of so many of the latest runs.", 1, 1000, 10),),
    ),
    Operation(
        method="GET",
        path="/api/audiences/{key}/members",
        summary="List who is in, or was at an instant, and since when",
        answered_by=audiences.members,
        answer="Members",
        query=(
            _AT,
            whole("after", "What `next` of the page before said.", 0, LARGEST, 0),
            whole("limit", "At most so many.", 1, 10_000, 1000),
        ),
    ),
    Operation(
        method="GET",
        path="/api/audiences/{key}/history",
        summary="List the sizes of the latest runs, oldest first",
        answered_by=audiences.history,
        answer="History",
        query=(whole("limit", "At most so many.", 1, 10_000, 100),),
    ),
    Operation(
        method="POST",
        path="/api/audiences/{key}/sync",
        summary="Ask for a sync; its outcome will be seen where `see` says",
        answered_by=audiences.sync,
        answer="SyncAsked",
        status=202,
        may_conflict=True,
    ),
    Operation(
        method="GET",
        path="/api/users/{id}",
        summary="Show a user: traits, audiences, since when, what Moesif accepted, latest entries and exits",
        answered_by=users.user,
        answer="User",
        query=(whole("limit", "At most so many entries, exits and new values.", 1, 1000, 20),),
    ),
    Operation(
        method="GET",
        path="/api/users/{id}/explain/{key}",
        summary="Say why a user is in an audience or not, or has a value",
        answered_by=users.explain,
        answer="Explanation",
        query=(_AT, whole("events", "At most so many events below each node.", 0, 1000, 3)),
    ),
    Operation(
        method="GET",
        path="/api/runs",
        summary="List runs, the latest first",
        answered_by=audiences.runs,
        answer="Runs",
        query=(
            text("audience", "Only of this audience or computed trait: its key."),
            whole("after", "Only runs with a higher id: later ones.", 0, LARGEST),
            whole("before", "Only runs with a lower id: earlier ones.", 0, LARGEST),
            whole("limit", "At most so many.", 1, 1000, 20),
        ),
    ),
    Operation(
        method="GET",
        path="/api/rejected-calls",
        summary="Count the calls that were refused, by source and reason, and list the latest of them as they came",
        answered_by=calls.rejected,
        answer="RejectedCalls",
        query=(
            text("source", "Only of this source."),
            text("code", "Only those refused for this reason."),
            whole("before", "Only those with a lower id: earlier ones.", 0, LARGEST),
            whole("limit", "At most so many.", 1, 1000, 20),
        ),
    ),
    Operation(
        method="GET",
        path="/api/deliveries",
        summary="Count what is owed, unknown and rejected, and list some of it",
        answered_by=deliveries.deliveries,
        answer="Deliveries",
        query=(
            one_of("state", "Only these.", ("owed", "unknown", "sending", "rejected")),
            whole("limit", "At most so many; the counts are of all.", 1, 1000, 20),
        ),
    ),
    Operation(
        method="GET",
        path="/api/deliveries/{id}",
        summary="Show one delivery: what would be sent, and why it was not accepted",
        answered_by=deliveries.delivery,
        answer="Delivery",
    ),
    Operation(
        method="POST",
        path="/api/deliveries/retry",
        summary="Owe rejected deliveries again: by id, by condition, or all",
        answered_by=deliveries.retry,
        answer="Retried",
        body=(
            texts("ids", "As they are listed, or ranges.", r"(call-[0-9]{1,18}(\.\.[0-9]{1,18})?|ledger-[0-9]{1,18}-[0-9]{1,18})"),
            text("reason", "Whose reason contains this."),
            instant("since", "Queued, or their run started, at this time or later."),
            instant("until", "Queued, or their run started, before this time."),
            flag("all", "Everything that was rejected."),
        ),
        one_of=(("ids",), ("reason", "since", "until"), ("all",)),
    ),
    Operation(
        method="GET",
        path="/api/types/{lane}",
        summary="List the JSON type that Moesif holds each metadata key of a lane to",
        answered_by=types.types,
        answer="Types",
        query=(
            text("after", "`next` of the page before."),
            whole("limit", "At most so many.", 1, 1000, 100),
        ),
    ),
    Operation(
        method="POST",
        path="/api/types/{lane}/forget",
        summary="Hold a metadata key, and what lies within it, to no type any more",
        answered_by=types.forget_type,
        answer="TypesForgotten",
        body=(text("metadata_key", "As it is listed."),),
        one_of=(("metadata_key",),),
    ),
    Operation(
        method="GET",
        path=f"{PROFILE}/traits",
        summary="List traits by name; audiences and computed traits are among them",
        answered_by=profiles.traits,
        answer="Traits",
        query=(
            one_of("class", "Only memberships, or only computed traits.", ("audience", "computed_trait")),
            words("include", "Only these, with commas between them."),
            whole("limit", "At most so many.", 1, 200, 10),
            _NEXT,
            switch("verbose", "Each with when it was said."),
        ),
    ),
    Operation(
        method="GET",
        path=f"{PROFILE}/external_ids",
        summary="List identifiers",
        answered_by=profiles.external_ids,
        answer="ExternalIds",
        query=(whole("limit", "At most so many.", 1, 100, 25), _NEXT),
    ),
    Operation(
        method="GET",
        path=f"{PROFILE}/events",
        summary="List events: track, page and screen calls",
        answered_by=profiles.events,
        answer="Events",
        query=(
            instant("start", "At this time or later. Default: 14 days before the end."),
            instant("end", "Before this time. Default: now."),
            words("include", "Only events of these names, with commas between them."),
            words("exclude", "No events of these names."),
            one_of("sort", "The latest first, or the oldest.", ("desc", "asc"), "desc"),
            whole("limit", "At most so many.", 1, 100, 10),
            _NEXT,
        ),
    ),
    Operation(
        method="GET",
        path=f"{PROFILE}/metadata",
        summary="Say when the profile was made, and by which calls it was first and last seen",
        answered_by=profiles.metadata,
        answer="Metadata",
    ),
)
