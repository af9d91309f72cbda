"""Calls that come in while somebody reads for long, at a size that says nothing about time; and whether a loss would be seen."""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

import pytest

from benchmarks import sink
from benchmarks.__main__ import main
from benchmarks.reader import missing
from benchmarks.steady import Pace, sending
from sync.store import Store
from tests.make import keep, track

SMALL = ["--seconds", "2", "--alone", "2", "--warm", "1", "--rate", "100", "--batch", "10", "--connections", "2"]


@pytest.mark.parametrize("idle", [False, True])
def test_calls_are_sent_alone_and_while_somebody_reads_and_none_is_lost(database_kind: str, idle: bool, capsys) -> None:
    words = ["run", "reader", "--database", database_kind, "--json", *SMALL, *(["--idle"] if idle else [])]

    code = main(words)

    told = json.loads(capsys.readouterr().out)
    # How long a call takes is the machine's, and not held to here.
    assert code == (0 if all(one["holds"] for one in told["musts"]) else 1)
    musts = {one["name"]: one["found"] for one in told["musts"]}
    assert {"a batch alone", "a batch while somebody reads"} <= {one["name"] for one in told["timings"]}
    assert (musts["calls answered 200 and not stored"], musts["calls answered otherwise"]) == (0, 0)
    assert ("the write-ahead log, most" in musts) == (database_kind == "sqlite")
    assert told["facts"]["calls answered 200"] > 300
    assert (told["facts"]["answers that the reader got"] == 2) == idle


def test_a_call_that_was_answered_and_is_not_stored_is_missing(store: Store) -> None:
    keep(store, track("ann", message_id="1"), track("ann", message_id="2"))

    assert missing(store, ["1", "2"]) == 0
    assert missing(store, ["1", "3"]) == 1


def test_what_is_due_while_the_server_is_slow_counts_from_when_it_was_due() -> None:
    with sink.running(0.3) as slow:
        port = urlsplit(slow.url).port or 0
        with sending(Pace(port=port, rate=100, batch=10, connections=1)) as client:
            time.sleep(1.5)
            sent = client.stop()

    # A batch in each tenth of a second, an answer in three.
    assert sent.each == sorted(sent.each)
    assert sent.each[0] >= 0.3
    assert sent.each[-1] >= sent.each[0] + 0.15 * (len(sent.each) - 1)
    assert (sent.statuses, sent.taken) == ({"201": 10 * len(sent.each)}, [])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["reader", "--rate", "0"], "--rate: '0' is not a whole number from 1 on"),
        (["reader", "--seconds", "x"], "--seconds: 'x' is not a whole number from 1 on"),
        (["ingest", "--calls", "-1"], "--calls: '-1' is not a whole number from 1 on"),
    ],
)
def test_a_number_of_which_there_must_be_one_is_refused_before_anything_is_begun(flags: list[str], said: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", *flags])

    assert ended.value.code == 2
    assert said in capsys.readouterr().err
