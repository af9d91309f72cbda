"""Calls that come while the store is away are answered when they are in a file, and are put into the store in order."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sync.call import Incoming
from sync.errors import SettingsError, Unreachable
from sync.spool import Spool, look
from tests.make import NOW, rejected
from tests.spool.conftest import MEGABYTE, Shelf, away, incoming, until

Open = Callable[..., Spool]


def test_a_store_that_is_there_is_given_the_calls_and_no_file_is_written(spool: Open, shelf: Shelf, folder: Path) -> None:
    take = spool().before(shelf.accept)

    take([incoming("1")])

    assert shelf.ids == ["1"]
    assert not list(folder.glob("*.spool"))


def test_what_comes_while_the_store_is_away_is_put_there_in_order_when_it_is_back(spool: Open, shelf: Shelf) -> None:
    opened = spool()
    take = opened.before(shelf.accept)
    shelf.go_away()
    for number in range(5):
        take([incoming(f"{number}a", f"{number}b"), Incoming(source="app", rejected=(rejected(),))])

    assert (opened.lying.calls, opened.lying.since) == (15, NOW)
    shelf.come_back()
    until(lambda: not opened.lying.bytes, "it was not drained")
    assert shelf.ids == [f"{number}{letter}" for number in range(5) for letter in "ab"]
    assert [one.source for one in shelf.taken] == ["web", "app"] * 5


def test_new_calls_go_behind_those_that_wait(spool: Open, shelf: Shelf) -> None:
    draining, go_on = threading.Event(), threading.Event()
    opened = spool()
    take = opened.before(shelf.accept)
    shelf.go_away()
    take([incoming("first")])

    def slow(_batch: Sequence[Incoming]) -> None:
        draining.set()
        go_on.wait(5)

    shelf.fails = slow
    draining.wait(5)
    later = threading.Thread(target=take, args=([incoming("second")],))
    later.start()
    go_on.set()
    later.join()
    until(lambda: len(shelf.ids) == 2, "it was not drained")
    assert shelf.ids == ["first", "second"]


def test_order_is_kept_from_the_first_to_the_last_of_very_many_calls(spool: Open, shelf: Shelf) -> None:
    opened = spool()
    take = opened.before(shelf.accept)
    shelf.go_away()
    take([incoming("0")])
    shelf.come_back()
    for number in range(1, 3000):
        take([incoming(str(number))])

    until(lambda: len(shelf.ids) == 3000, "it was not drained")
    assert shelf.ids == [str(number) for number in range(3000)]


def test_a_spool_gets_out_of_the_way_again_though_calls_come_all_the_time(spool: Open, shelf: Shelf) -> None:
    opened = spool()
    drainer, writers = "spool", set()

    def slow(_batch: Sequence[Incoming]) -> None:
        writers.add(threading.current_thread().name)
        time.sleep(0.02)

    take = opened.before(shelf.accept)
    shelf.go_away()
    take([incoming("0")])
    shelf.fails = slow
    ends = time.monotonic() + 10
    while not writers - {drainer} and time.monotonic() < ends:
        take([incoming("next")])

    assert writers == {drainer, threading.current_thread().name}


def test_a_process_that_is_stopped_while_it_drains_leaves_the_rest_to_the_next(spool: Open, shelf: Shelf, folder: Path) -> None:
    left_behind(spool, folder, *(str(number) for number in range(3000)))
    draining = threading.Event()

    def slow(_batch: Sequence[Incoming]) -> None:
        draining.set()
        time.sleep(0.1)

    shelf.fails = slow
    stopped = spool()
    stopped.before(shelf.accept)
    draining.wait(5)
    stopped.close()
    assert 0 < len(shelf.ids) < 3000

    later = spool()
    later.before(shelf.accept)
    until(lambda: not later.lying.bytes, "it was not drained")
    assert list(dict.fromkeys(shelf.ids)) == [str(number) for number in range(3000)]


def test_more_than_one_file_full_is_drained_in_order(spool: Open, shelf: Shelf, folder: Path) -> None:
    opened = spool(64 * 1024 * 1024)
    take = opened.before(shelf.accept)
    shelf.go_away()
    for number in range(10):
        take([incoming(f"{number}", properties={"text": "x" * 1024 * 1024})])
    assert len(list(folder.glob("*.spool"))) > 2

    shelf.come_back()
    until(lambda: not opened.lying.bytes, "it was not drained")
    assert shelf.ids == [str(number) for number in range(10)]


def test_what_was_written_at_one_time_is_put_into_the_store_a_few_megabytes_at_a_time(spool: Open, shelf: Shelf) -> None:
    opened = spool(64 * 1024 * 1024)
    take = opened.before(shelf.accept)
    shelf.go_away()
    take([incoming(f"{number}", properties={"text": "x" * 1024 * 1024}) for number in range(12)])
    transactions: list[int] = []
    shelf.fails = lambda batch: transactions.append(len(batch))

    until(lambda: not opened.lying.bytes, "it was not drained")
    assert shelf.ids == [str(number) for number in range(12)]
    assert max(transactions) <= 5


def test_the_next_process_drains_what_the_former_left(spool: Open, shelf: Shelf) -> None:
    former = spool()
    take = former.before(away)
    take([incoming("1", "2")])
    take([incoming("3")])
    former.close()

    later = spool()
    assert (later.lying.calls, later.lying.since) == (3, NOW)
    later.before(shelf.accept)
    until(lambda: not later.lying.bytes, "it was not drained")
    assert shelf.ids == ["1", "2", "3"]


def test_a_record_that_was_never_finished_is_dropped_and_those_before_it_are_not(
    spool: Open, shelf: Shelf, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = left_behind(spool, folder, "1", "2")
    path.write_bytes(path.read_bytes()[:-20])

    later = spool()
    later.before(shelf.accept)
    until(lambda: not later.lying.bytes, "it was not drained")
    assert shelf.ids == ["1"]
    assert "never finished" in caplog.text
    assert look(folder).set_aside == 0


def left_behind(spool: Open, folder: Path, *ids: str) -> Path:
    former = spool()
    take = former.before(away)
    take([incoming(id) for id in ids])
    former.close()
    [path] = folder.glob("*.spool")
    return path


@pytest.mark.parametrize("at", [0, 9, 60, -2])
def test_a_record_that_was_damaged_is_set_aside_and_its_neighbours_are_kept(
    spool: Open, shelf: Shelf, folder: Path, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = left_behind(spool, folder, "1", "2", "3")
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = bytearray(lines[1])
    damaged[at] ^= 1
    path.write_bytes(lines[0] + damaged + lines[2])

    later = spool()
    later.before(shelf.accept)
    until(lambda: not later.lying.bytes, "it was not drained")
    assert shelf.ids == ["1", "3"]
    assert (folder / "set-aside").read_bytes() == damaged
    assert later.lying.set_aside == look(folder).set_aside == 1
    assert "set-aside" in caplog.text
    assert "zoe" not in caplog.text


def test_a_record_that_the_store_chokes_on_is_set_aside_and_holds_nobody_up(
    spool: Open, shelf: Shelf, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = spool()
    take = opened.before(shelf.accept)
    shelf.go_away()
    take([incoming(str(number)) for number in range(10)])

    def choke(batch: Sequence[Incoming]) -> None:
        if any(call.message_id == "7" for one in batch for call in one.calls):
            raise RuntimeError("zoe@example.com is in the message")

    shelf.fails = choke
    until(lambda: not opened.lying.bytes, "it was not drained")
    assert shelf.ids == [str(number) for number in range(10) if number != 7]
    assert b'"message_id":"7"' in (folder / "set-aside").read_bytes()
    assert "RuntimeError" in caplog.text
    assert "zoe" not in caplog.text


def test_what_was_set_aside_is_tried_again_under_the_name_of_a_spooled_file(spool: Open, shelf: Shelf, folder: Path) -> None:
    path = left_behind(spool, folder, "1", "2")
    path.rename(folder / "set-aside")
    assert look(folder).set_aside == 2
    (folder / "set-aside").rename(folder / "00000001.spool")

    later = spool()
    later.before(shelf.accept)
    until(lambda: not later.lying.bytes, "it was not drained")
    assert shelf.ids == ["1", "2"]
    assert later.lying.set_aside == 0


def test_a_spool_that_is_full_takes_nothing_more_and_goes_on_when_there_is_room(spool: Open, shelf: Shelf) -> None:
    opened = spool(most_bytes=2000)
    take = opened.before(shelf.accept)
    shelf.go_away()
    taken = 0
    with pytest.raises(Unreachable, match="full"):
        for taken in range(100):
            take([incoming(str(taken))])

    shelf.come_back()
    until(lambda: not opened.lying.bytes, "it was not drained")
    take([incoming("after")])
    assert shelf.ids == [*(str(number) for number in range(taken)), "after"]
    assert taken > 2


def test_a_second_process_is_told_that_the_folder_is_taken(spool: Open, folder: Path) -> None:
    first = spool()

    with pytest.raises(SettingsError, match=r"SYNC_SPOOL: the folder .* belongs to another process"):
        Spool(folder, 1000)

    first.close()
    Spool(folder, 1000).close()


def test_a_folder_that_cannot_be_made_is_a_setting_to_be_changed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SettingsError, match=r"SYNC_SPOOL: the folder .*file/spool cannot be used: Not a directory"):
        Spool(tmp_path / "file" / "spool", 1000)


def test_nobody_else_can_read_the_files(spool: Open, folder: Path) -> None:
    before = os.umask(0)
    try:
        path = left_behind(spool, folder, "1")
    finally:
        os.umask(before)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_the_store_was_given_before_a_crash_is_given_again_and_in_order(spool: Open, shelf: Shelf, folder: Path) -> None:
    """The file goes only after the store has it all; that a call comes twice is for the store to see."""
    path = left_behind(spool, folder, "1", "2")
    kept = path.read_bytes()
    drained = spool()
    drained.before(shelf.accept)
    until(lambda: not drained.lying.bytes, "it was not drained")
    drained.close()
    path.write_bytes(kept)

    later = spool()
    later.before(shelf.accept)
    until(lambda: not later.lying.bytes, "it was not drained")
    assert shelf.ids == ["1", "2", "1", "2"]


def test_whether_it_can_be_written_is_tried_once_a_second_however_often_it_is_asked(folder: Path) -> None:
    now = [100.0]
    spool = Spool(folder, MEGABYTE, lambda: now[0])
    assert spool.can_take()
    (folder / "lock").unlink()
    folder.rmdir()

    believed = spool.can_take()
    now[0] += 1

    assert (believed, spool.can_take()) == (True, False)
    spool.close()
