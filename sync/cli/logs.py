"""The program's log, on standard error: a line for people, or an object of JSON, for each thing that happened.

What a line is about (a run, a batch, a lane) stands in its text, and as fields of its own in JSON. What is logged of an error that
nobody foresaw is its kind and where it happened, never its message: a database's repeats the row that it did not like.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from sync.instant import iso

if TYPE_CHECKING:
    from sync.json_value import Json

FIELDS: Final = ("run", "audience", "lane", "batch", "items", "outcome")
"""What `extra` of a record may hold."""

PLACES: Final = 8
"""How many places of a traceback are shown, the innermost."""


def log_to_stderr(level: int, form: str = "text") -> None:
    """Let the program's log go to standard error from a level on, as `text` or as `json`."""
    root = logging.getLogger()
    for known in [one for one in root.handlers if isinstance(one.formatter, _Lines)]:
        root.removeHandler(known)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Objects() if form == "json" else _Lines())
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("sync").setLevel(level)
    # That a pulse was left out while the one before it was still busy is how it should be; what is late, the scheduler says itself.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def log_dying_threads() -> None:
    """Log what ends a thread, in the place of Python's own words about it, which have the message in them."""
    threading.excepthook = _log_thread


def _log_thread(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread is not None else "?"
    if failed.exc_value is not None:
        kept = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        logging.getLogger("sync").error("the thread %s has failed", name, exc_info=kept)


class _Lines(logging.Formatter):
    """Time, level, message; what went wrong indented below."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{_instant(record)} {record.levelname.lower()} {record.getMessage()}".replace("\r", "\\r").replace("\n", "\\n")
        return "\n  ".join([text, *_told(record)])


class _Objects(_Lines):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        from sync.json_value import encode

        told: dict[str, Json] = {
            "at": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in FIELDS if hasattr(record, name)},
        }
        if places := _told(record):
            told["error"] = [*places]
        return encode(told)


def _instant(record: logging.LogRecord) -> str:
    from datetime import UTC, datetime

    return iso(datetime.fromtimestamp(record.created, UTC), "milliseconds")


def _told(record: logging.LogRecord) -> list[str]:
    """Say what went wrong: the kinds of the error and of those behind it, and the places of the first."""
    if not record.exc_info or record.exc_info[1] is None:
        return []
    error = record.exc_info[1]
    places = traceback.extract_tb(error.__traceback__)[-PLACES:]
    return [" from ".join(_kinds(error)), *(f"{place.filename}:{place.lineno} in {place.name}" for place in places)]


def _kinds(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield type(error).__name__
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
