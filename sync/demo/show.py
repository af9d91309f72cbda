"""What `personas-sync demo` prints."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sync.demo import Checked, Demo, Synced, prepared
from sync.errors import InputError
from sync.instant import iso
from sync.json_value import Json, encode
from sync.stopping import until_told_to_stop

KEYS = {"order_completed_last_30days": "30 days", "big_spenders": "big", "lapsed_customers": "lapsed"}
"""How the audiences are called at the head of a column."""


def run(*, folder: Path | None = None, serve: bool = False, as_json: bool = False) -> int:
    """Run the demo and return the exit code: 1 where the stand-in does not end up equal.

    Without a folder everything is in a temporary one, which goes at the end. `serve` leaves the door and the stand-in up until
    Ctrl-C.
    """
    console = Console(quiet=as_json, highlight=False)
    started = time.monotonic()
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="personas-sync-demo-")))
        _made(place)
        demo = stack.enter_context(prepared(place))
        rows, checked = _shown(demo, console)
        seconds = time.monotonic() - started
        if as_json:
            print(encode(_as_json(rows, checked, seconds)))
        console.print(_verdict(checked, seconds), soft_wrap=True)
        if serve:
            _stay(demo, console)
    return 1 if checked.wrong else 0


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be made: {(error.strerror or type(error).__name__).lower()}") from None


def _shown(demo: Demo, console: Console) -> tuple[list[Synced], Checked]:
    console.print(f"Sending the CDNOW sample to {demo.door}/v1/batch, with Moesif played by {demo.standin.url}", soft_wrap=True)
    imported = demo.send_in()
    kept = f"{imported.calls:,} calls stored, {imported.forwarded:,} forwarded as user updates and actions"
    console.print(f"{kept}, {imported.seconds:.1f} s\n", soft_wrap=True)
    table = Table(box=None, pad_edge=False, title="A sync a week", title_justify="left")
    for heading in ("as of", *KEYS.values(), "entered", "exited", "sent", "requests", "seconds"):
        table.add_column(heading, justify="left" if heading == "as of" else "right")
    rows = []
    for row in demo.syncs():
        rows.append(row)
        table.add_row(*_cells(row))
    console.print(table)
    return rows, demo.check()


def _cells(row: Synced) -> list[str]:
    numbers = [*(row.members[key] for key in KEYS), row.entered, row.exited, row.sent, row.requests]
    return [row.at.date().isoformat(), *(f"{number:,}" for number in numbers), f"{row.seconds:.2f}"]


def _verdict(checked: Checked, seconds: float) -> str:
    if checked.wrong:
        return f"\nThe stand-in differs from the computed membership in {len(checked.wrong)} places, e.g. {checked.wrong[0]}"
    sizes = ", ".join(f"{size:,} in {key}" for key, size in checked.members.items())
    return f"\nThe stand-in holds exactly the computed membership: {sizes}. {seconds:.1f} s in all."


def _as_json(rows: list[Synced], checked: Checked, seconds: float) -> Json:
    syncs: list[Json] = [
        {
            "at": iso(row.at),
            "members": dict(row.members),
            "entered": row.entered,
            "exited": row.exited,
            "sent": row.sent,
            "requests": row.requests,
            "seconds": round(row.seconds, 3),
        }
        for row in rows
    ]
    return {"syncs": syncs, "members": dict(checked.members), "wrong": list(checked.wrong), "seconds": round(seconds, 3)}


def _stay(demo: Demo, console: Console) -> None:
    said = f"\nStill up until Ctrl-C: the door at {demo.door}, what Moesif holds at {demo.standin.url}/_standin/users"
    until_told_to_stop(lambda: console.print(said, soft_wrap=True))
