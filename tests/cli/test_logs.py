"""The log: lines for people or objects of JSON, with the ids of runs and batches, and nothing of what an error said."""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import threading
import time
from contextlib import redirect_stderr
from typing import Any

import pytest

from sync.cli.logs import log_dying_threads, log_to_stderr
from sync.standin import Fault, StandIn


def logged(form: str, *records: Any) -> list[str]:
    """Return the lines that come of logging; each record is called with the logger."""
    err = io.StringIO()
    with redirect_stderr(err):
        log_to_stderr(logging.INFO, form)
        for record in records:
            record(logging.getLogger("sync.test"))
    return err.getvalue().splitlines()


def failing(logger: logging.Logger) -> None:
    try:
        try:
            _ = {}["ann@example.com"]
        except KeyError:
            int("ann is no number")
    except ValueError:
        logger.exception("it has failed")


def test_a_line_for_people_has_time_level_and_message_on_one_line() -> None:
    (line,) = logged("text", lambda logger: logger.info("lane %s\nforged 2026", "users", extra={"run": 3}))

    assert line.split(" ", 1)[1] == "info lane users\\nforged 2026"
    assert line.split(" ")[0].endswith("Z")


def test_a_pulse_that_was_left_out_is_no_news_and_a_job_that_failed_is() -> None:
    jobs = logging.getLogger("apscheduler.executors.default")

    lines = logged("text", lambda _: jobs.warning("skipped: maximum number of running instances"), lambda _: jobs.error("failed"))

    assert [line.split(" ", 1)[1] for line in lines] == ["error failed"]


def test_an_object_has_the_fields_of_what_it_is_about() -> None:
    (line,) = logged("json", lambda logger: logger.warning("run %d\nfailed", 3, extra={"run": 3, "audience": "gold"}))
    told = json.loads(line)

    assert {name: told[name] for name in ("level", "logger", "message", "run", "audience")} == {
        "level": "warning",
        "logger": "sync.test",
        "message": "run 3\nfailed",
        "run": 3,
        "audience": "gold",
    }
    assert "batch" not in told


@pytest.mark.parametrize("form", ["text", "json"])
def test_of_an_error_the_kinds_and_places_are_logged_and_never_the_message(form: str) -> None:
    text = "\n".join(logged(form, failing))

    assert "ValueError from KeyError" in text
    assert "in failing" in text
    assert "ann" not in text


def test_a_thread_that_dies_says_so_without_its_message() -> None:
    def die(_logger: logging.Logger) -> None:
        log_dying_threads()
        thread = threading.Thread(target=[].pop, name="writer")
        thread.start()
        thread.join()

    before = threading.excepthook
    text = "\n".join(logged("text", die))
    threading.excepthook = before

    assert "error the thread writer has failed" in text
    assert "IndexError" in text
    assert "empty list" not in text


def test_below_the_level_nothing_is_logged() -> None:
    assert logged("text", lambda logger: logger.debug("quiet")) == []


def test_serve_logs_runs_and_batches_with_their_ids(line: Any, standin: StandIn, make_order: Any) -> None:
    line.write(
        "personas.yaml", "audiences:\n  - {name: Buyers, query: \"event('Order Completed').count() >= 1\", every: 1 second}\n"
    )
    line.import_calls(make_order("ann", "2026-01-10T00:00:00Z"))
    line.environ |= {"SYNC_LOG_FORMAT": "json", "SYNC_LOG_LEVEL": "debug", "SYNC_PORT": "0"}
    standin.misbehave(Fault(lane="users", status=503, times=1))
    process = line.started("serve", stdout=subprocess.DEVNULL)
    ends = time.monotonic() + 20
    while not standin.users() and time.monotonic() < ends:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)

    told = [json.loads(one) for one in err.decode().splitlines() if one.startswith("{")]
    runs = [one for one in told if "run" in one and one["audience"] == "buyers"]
    batches = [one for one in told if "batch" in one]
    assert runs[0]["run"] == 1
    assert [(one["lane"], one["items"], one["outcome"], one["level"]) for one in batches[:2]] == [
        ("users", 1, "later", "info"),
        ("users", 1, "accepted", "debug"),
    ]
    assert len({one["batch"] for one in batches}) == len(batches)
    assert "ann" not in err.decode()


def test_an_unknown_form_or_level_stops_the_program(bare: Any) -> None:
    bare.environ |= {"SYNC_LOG_FORMAT": "xml", "SYNC_LOG_LEVEL": "loud"}

    done = bare("config")

    assert done.code == 3
    assert "SYNC_LOG_FORMAT (environment): expected text or json" in done.err
    assert "SYNC_LOG_LEVEL (environment): expected debug, info, warning or error" in done.err
