"""`personas-sync forget` as a person types it, on a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator

import pytest
import requests

from sync.standin import Fault, StandIn
from tests.cli.conftest import CommandLine, bare, line, log_as_before, order
from tests.cli.test_processes import listening

__all__ = ["bare", "line", "log_as_before"]

ANN = {"type": "identify", "userId": "ann", "anonymousId": "a-1", "traits": {"plan": "pro"}}


@pytest.fixture
def known(line: CommandLine) -> CommandLine:
    line.import_calls(ANN, order("ann", "2026-03-01T00:00:00Z"), order("bob", "2026-03-01T00:00:00Z"))
    return line


@pytest.fixture
def moesif(known: CommandLine) -> Iterator[StandIn]:
    with StandIn.start(application_id="app-1", management_key="manage") as running:
        known.environ |= {
            "SYNC_MOESIF_URL": running.url,
            "SYNC_MOESIF_APPLICATION_ID": "app-1",
            "SYNC_MOESIF_MANAGEMENT_URL": running.url,
            "SYNC_MOESIF_MANAGEMENT_KEY": "manage",
        }
        yield running


def test_the_report_is_the_receipt(known: CommandLine) -> None:
    report = known("forget", "ann", "--yes", "--json").json

    assert set(report) == {"receipt", "at", "digest", "erased", "in_moesif", "already_forgotten"}
    assert report["erased"]["calls"] == 2
    assert report["in_moesif"] is None
    assert not report["already_forgotten"]
    assert known("user", "ann").code == 2


def test_people_are_told_what_went_and_never_who(known: CommandLine) -> None:
    done = known("forget", "ann", "--yes")

    assert done.code == 0
    assert done.lines[0] == "forgotten"
    assert "2 in calls" in done.out
    assert "ann" not in done.out + done.err


def test_whoever_is_forgotten_already_is_no_fault(known: CommandLine) -> None:
    first = known("forget", "ann", "--yes", "--json").json

    again = known("forget", "ann", "--json")

    assert again.code == 0
    assert again.json == first | {"already_forgotten": True}


def test_an_unknown_user_is_a_fault_of_the_input(known: CommandLine) -> None:
    done = known("forget", "zoe", "--yes")

    assert done.code == 2
    assert "there is no user 'zoe'" in done.err


def test_in_a_pipe_nothing_is_erased_without_a_word(known: CommandLine) -> None:
    done = known("forget", "ann")

    assert done.code == 2
    assert "--yes" in done.err
    assert known("user", "ann").code == 0


@pytest.mark.parametrize(("typed", "code", "left"), [("y", 0, 2), ("n", 1, 0), ("", 1, 0)])
def test_on_a_terminal_it_asks(known: CommandLine, typed: str, code: int, left: int) -> None:
    done, shown = on_a_terminal(known, f"{typed}\n", "forget", "ann")

    assert done == code
    assert "ann: 2 calls, 1 trait, 1 anonymous id" in shown
    assert "Erase for good, here; Moesif keeps what it has?" in shown
    assert known("user", "ann").code == left


def on_a_terminal(known: CommandLine, typed: str, *arguments: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    process = known.started(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:  # how Linux says that the other side has closed
            break
        if not more:
            break
        shown += more
    os.close(ours)
    return process.wait(60), shown.decode()


def test_without_a_management_key_nothing_is_erased(known: CommandLine) -> None:
    done = known("forget", "ann", "--in-moesif", "--yes")

    assert done.code == 3
    assert "SYNC_MOESIF_MANAGEMENT_KEY" in done.err
    assert known("user", "ann").code == 0


def test_moesif_deletes_the_user_too(known: CommandLine, moesif: StandIn) -> None:
    known("sync", "--at", "2026-03-02")
    assert set(moesif.users()) == {"ann", "bob"}

    done = known("forget", "ann", "--in-moesif", "--yes")

    assert done.code == 0
    assert "deleted (200 OK)" in done.out
    assert set(moesif.users()) == {"bob"}
    assert known("sync", "--at", "2026-03-03", "--json").code == 0
    assert set(moesif.users()) == {"bob"}


@pytest.mark.parametrize(("fault", "code"), [(Fault(status=503), 5), (Fault(status=401), 1), (Fault(close="before"), 5)])
def test_a_failure_at_moesif_is_said_plainly_and_mended_by_repeating(
    known: CommandLine, moesif: StandIn, fault: Fault, code: int
) -> None:
    known("sync", "--at", "2026-03-02")
    moesif.misbehave(fault)

    failed = known("forget", "ann", "--in-moesif", "--yes")

    assert failed.code == code
    assert "forgotten here, and Moesif did not delete them" in failed.err
    assert "ann" in moesif.users()
    assert known("user", "ann").code == 2
    again = known("forget", "ann", "--in-moesif", "--yes", "--json")
    assert (again.code, again.json["already_forgotten"], again.json["in_moesif"]) == (0, True, "deleted (200 OK)")
    assert set(moesif.users()) == {"bob"}


def test_an_import_says_how_many_calls_it_did_not_keep(known: CommandLine) -> None:
    known("forget", "ann", "--yes")

    report = known("import", "calls.jsonl", "--json").json

    assert (report["accepted"], report["duplicate"], report["suppressed"], report["rejected"]) == (0, 1, 2, 0)
    assert "2 not kept: they are about people who were forgotten" in known("import", "calls.jsonl").err


def test_a_process_that_serves_answers_200_and_keeps_nothing(known: CommandLine) -> None:
    known("forget", "ann", "--yes")
    process = known.started("serve", "--only", "web", "--port", "0")
    url = listening(process, "personas-sync listens on ")

    body = {"event": "X", "userId": "ann", "messageId": "late"}
    answer = requests.post(f"{url}/v1/track", json=body, auth=("any", ""), timeout=10)
    process.terminate()
    process.communicate(timeout=30)

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert known("user", "ann").code == 2
