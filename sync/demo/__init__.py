"""The main job on a real purchase history: calls come in over HTTP, audiences are synced week by week, a stand-in plays Moesif.

    CDNOW sample ──HTTP──► the door ──► SQLite ──► compute ──► send ──HTTP──► the stand-in

Everything is the program's own road; only the clock of the conditions is wound, with the instant that a sync may be given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Final

import requests

from sync.app import App, opened
from sync.apply import apply
from sync.call import Incoming
from sync.demo.sample import batches
from sync.errors import SyncError
from sync.ingest import accept
from sync.json_value import Json, encode
from sync.membership import Run
from sync.send import Sender
from sync.settings import Settings, read
from sync.standin import StandIn
from sync.store import ledger, migrate
from sync.synchronise import chosen, synchronise
from sync.web import Door, Health, Server, create_app

FIRST: Final = datetime(1997, 4, 1, tzinfo=UTC)
LAST: Final = datetime(1998, 6, 30, tzinfo=UTC)
WEEK: Final = timedelta(days=7)
APPLICATION_ID: Final = "demo"
PATIENCE: Final = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What came in through the door, and went on to Moesif as it was."""

    calls: int
    forwarded: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Synced:
    """One sync of all audiences: a row of the table."""

    at: datetime
    members: Mapping[str, int]
    """By audience key."""
    entered: int
    exited: int
    sent: int
    """Users told about; one whom two audiences concern is told once, and counted for each."""
    requests: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """Whether the stand-in holds exactly the computed membership."""

    members: Mapping[str, int]
    """By audience key, as the stand-in holds them."""
    wrong: tuple[str, ...]
    """`key: user`, of everybody about whom the two differ."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A demo underway. Call `send_in`, then go through `syncs`, then `check`."""

    app: App
    sender: Sender
    standin: StandIn
    door: str
    """Where the door listens."""

    def send_in(self) -> Imported:
        """Post the whole sample to the door, as an SDK would, and forward it."""
        started = time.monotonic()
        calls = 0
        with requests.Session() as session:
            for body in batches():
                answer = session.post(f"{self.door}/v1/batch", data=encode(body), auth=("demo", ""), timeout=30)
                if answer.status_code != requests.codes.ok:
                    raise SyncError(f"the door answered {answer.status_code}: {answer.text[:200]}")
                calls += len(_list(body["batch"]))
        drained = self.sender.drain(PATIENCE)
        return Imported(calls=calls, forwarded=drained.accepted, seconds=time.monotonic() - started)

    def syncs(self) -> Iterator[Synced]:
        """Sync all audiences, week by week."""
        at = FIRST
        while at <= LAST:
            report = synchronise(self.app.store, self.sender, chosen(self.app.store, ()), at, self.app.clock, patience=PATIENCE)
            yield _row(at, report.runs, report.requests, report.seconds)
            at += WEEK

    def check(self) -> Checked:
        """Ask the stand-in what it holds and compare it with the ledger, user by user."""
        held = {user: _flags(document) for user, document in self.standin.users().items()}
        members: dict[str, int] = {}
        wrong: list[str] = []
        with self.app.store.reading() as connection:
            for audience in chosen(self.app.store, ()):
                ours = {user for _, user, _, _ in ledger.members(connection, audience, 0, 1_000_000)}
                theirs = {user for user, flags in held.items() if flags.get(audience.key) is True}
                members[audience.key] = len(theirs)
                wrong += [f"{audience.key}: {user}" for user in sorted(ours ^ theirs)]
        return Checked(members=members, wrong=tuple(wrong))


@contextmanager
def prepared(folder: Path) -> Iterator[Demo]:
    """Start the stand-in and the door, and make the store, in a folder."""
    with ExitStack() as stack:
        standin = stack.enter_context(StandIn.start(application_id=APPLICATION_ID))
        app = stack.enter_context(opened(_settings(folder, standin.url)))
        migrate.upgrade(app.store.engine)
        apply(app.store, app.definitions(), app.clock())
        server = stack.enter_context(Server(create_app(_door(app)), host="127.0.0.1", port=0))
        sender = stack.enter_context(app.sender())
        yield Demo(app=app, sender=sender, standin=standin, door=f"http://127.0.0.1:{server.port}")


def _settings(folder: Path, moesif_url: str) -> Settings:
    definitions = folder / "personas.yaml"
    definitions.write_bytes(resources.files("sync.demo").joinpath("personas.yaml").read_bytes())
    return read(
        {
            "SYNC_DATABASE_URL": f"sqlite:///{folder / 'personas.db'}",
            "SYNC_DEFINITIONS": str(definitions),
            "SYNC_MOESIF_APPLICATION_ID": APPLICATION_ID,
            "SYNC_MOESIF_URL": moesif_url,
        }
    )


def _door(app: App) -> Door:
    def keep(batch: Sequence[Incoming]) -> None:
        accept(app.store, batch, app.mapping, app.clock())

    return Door(accept=keep, clock=app.clock, health=lambda: Health(ready=True))


def _row(at: datetime, runs: Sequence[Run], requests_made: int, seconds: float) -> Synced:
    return Synced(
        at=at,
        members={run.audience: run.members for run in runs},
        entered=sum(run.entered for run in runs),
        exited=sum(run.exited for run in runs),
        sent=sum(run.accepted for run in runs),
        requests=requests_made,
        seconds=seconds,
    )


def _flags(document: Mapping[str, Json]) -> Mapping[str, Json]:
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
