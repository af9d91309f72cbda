"""import: what is taken in, what is refused and why, and that repeating it changes nothing."""

from __future__ import annotations

import gzip
import json
import os
import signal
import time
from typing import Any

import pytest

GOOD = '{"type":"track","userId":"ann","event":"X","timestamp":"2026-02-01T00:00:00Z"}\n'


def test_good_lines_are_taken_in_and_bad_ones_kept_beside_the_file_with_their_reasons(line: Any) -> None:
    line.write("h.jsonl", GOOD + 'nonsense\n\n{"type":"track","event":"X"}\n')

    done = line("import", "h.jsonl")

    assert done.code == 1
    assert done.out == "h.jsonl: 1 accepted, 0 duplicate, 2 rejected\n"
    refused = [json.loads(text) for text in (line.folder / "h.jsonl.rejected.jsonl").read_text().splitlines()]
    assert [(one["line"], one["code"]) for one in refused] == [(2, "invalid_json"), (4, "no_user_anon_id")]
    assert refused[0]["body"] == "nonsense"
    assert refused[1]["message"] == "userId or anonymousId is required"


def test_repeating_an_import_changes_nothing(line: Any) -> None:
    line.write("h.jsonl", GOOD * 3)

    first, second = line("import", "h.jsonl", "--json"), line("import", "h.jsonl", "--json")

    assert {name: first.json[name] for name in ("accepted", "duplicate", "rejected")} == {
        "accepted": 3,
        "duplicate": 0,
        "rejected": 0,
    }
    assert (second.code, second.json["accepted"], second.json["duplicate"]) == (0, 0, 3)
    assert line("user", "ann", "--json").json["calls"] == 3


def test_the_rejects_of_an_earlier_import_go_when_there_are_none_any_more(sqlite_line: Any) -> None:
    sqlite_line.write("h.jsonl", "nonsense\n")
    sqlite_line("import", "h.jsonl")
    sqlite_line.write("h.jsonl", GOOD)

    done = sqlite_line("import", "h.jsonl")

    assert done.code == 0
    assert not (sqlite_line.folder / "h.jsonl.rejected.jsonl").exists()


def test_a_batch_object_may_stand_on_a_line(line: Any) -> None:
    batch = {"batch": [json.loads(GOOD), {"type": "zzz", "userId": "ann"}, json.loads(GOOD)]}
    line.write("h.jsonl", json.dumps(batch))

    assert line("import", "h.jsonl").out == "h.jsonl: 2 accepted, 0 duplicate, 1 rejected\n"


def test_timestamps_are_taken_as_they_are(sqlite_line: Any) -> None:
    call = {"type": "track", "userId": "ann", "event": "X", "timestamp": "1997-01-01T00:00:00Z", "sentAt": "2020-01-01T00:00:00Z"}
    sqlite_line.write("h.jsonl", json.dumps(call))

    sqlite_line("import", "h.jsonl")

    assert sqlite_line("user", "ann", "--json").json["first_seen_at"] == "1997-01-01T00:00:00Z"


def test_gzip_is_known_by_its_bytes(sqlite_line: Any) -> None:
    sqlite_line.write("h.jsonl.gz", gzip.compress(GOOD.encode()))
    sqlite_line.write("unnamed", gzip.compress(GOOD.encode() * 2))

    assert sqlite_line("import", "h.jsonl.gz", "unnamed", "--json").json["accepted"] == 2


def test_what_is_called_gz_and_is_not_is_refused(sqlite_line: Any) -> None:
    sqlite_line.write("h.jsonl.gz", GOOD)

    done = sqlite_line("import", "h.jsonl.gz")

    assert (done.code, done.err) == (2, "personas-sync: h.jsonl.gz is called .gz and is not gzip\n")


@pytest.mark.parametrize(("damage", "message"), [(slice(0, -30), "ends in the middle"), (slice(0, -8), "ends in the middle")])
def test_what_came_before_the_damage_is_kept(sqlite_line: Any, damage: slice, message: str) -> None:
    lines = "".join(GOOD.replace("ann", f"user{number}") for number in range(5000)).encode()
    sqlite_line.write("h.gz", gzip.compress(lines, 0)[damage])

    done = sqlite_line("import", "h.gz")

    assert done.code == 2
    assert message in done.err
    assert sqlite_line("user", "user0").code == 0


def test_corrupt_compressed_data_is_said(sqlite_line: Any) -> None:
    packed = bytearray(gzip.compress(os.urandom(100_000).hex().encode()))
    packed[5000:5100] = bytes(100)
    sqlite_line.write("h.gz", bytes(packed))

    done = sqlite_line("import", "h.gz")

    assert done.code == 2
    assert "cannot be unpacked" in done.err


def test_standard_input_is_a_dash_and_its_rejects_go_into_the_folder(sqlite_line: Any) -> None:
    done = sqlite_line.apart("import", "-", "--json", stdin=gzip.compress(f"{GOOD}nonsense\n".encode()))

    assert (done.code, done.json["accepted"], done.json["rejected"]) == (1, 1, 1)
    assert (sqlite_line.folder / "stdin.rejected.jsonl").exists()


def test_calls_are_forwarded_only_where_that_is_asked_for(sqlite_line: Any) -> None:
    sqlite_line.write("a.jsonl", GOOD)
    sqlite_line.write("b.jsonl", GOOD.replace('"X"', '"Y"'))

    sqlite_line("import", "a.jsonl")
    before = sqlite_line("deliveries", "--json").json["owed"]
    sqlite_line("import", "b.jsonl", "--forward")

    assert (before, sqlite_line("deliveries", "--json").json["owed"]) == (0, 1)


def test_nothing_is_imported_where_one_of_the_files_is_not_there(sqlite_line: Any) -> None:
    sqlite_line.write("a.jsonl", GOOD)

    assert sqlite_line("import", "a.jsonl", "nowhere.jsonl").code == 2
    assert sqlite_line("user", "ann").code == 2


def test_rejects_that_cannot_be_written_stop_the_import(sqlite_line: Any) -> None:
    sqlite_line.write("h.jsonl", "nonsense\n")
    (sqlite_line.folder / "h.jsonl.rejected.jsonl").mkdir()

    done = sqlite_line("import", "h.jsonl")

    assert (done.code, done.err) == (2, "personas-sync: cannot write h.jsonl.rejected.jsonl: is a directory\n")


def test_a_line_of_any_length_does_no_harm(sqlite_line: Any) -> None:
    sqlite_line.write("h.jsonl", b"x" * (33 * 1024 * 1024) + b"\n" + GOOD.encode())

    done = sqlite_line("import", "h.jsonl", "--json")

    assert (done.json["accepted"], done.json["rejected"]) == (1, 1)


def test_an_interrupted_import_can_be_run_again(line: Any) -> None:
    line.write("h.jsonl", "".join(GOOD.replace("ann", f"user{number}") for number in range(24_000)))
    process = line.started("import", "h.jsonl")
    while line("user", "user0").code and process.poll() is None:
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    again = line("import", "h.jsonl", "--json")

    assert process.returncode in (130, 0)
    assert err == (b"personas-sync: interrupted; nothing is lost\n" if process.returncode == 130 else b"")
    assert again.json["accepted"] + again.json["duplicate"] == 24_000
