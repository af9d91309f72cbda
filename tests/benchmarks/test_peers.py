"""The comparison with what a user would pick instead: this program and the script, at a size that says nothing about time."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request

import pytest

from benchmarks.__main__ import main
from benchmarks.peers.standin import StandIn

SMALL = ["--size", "2000", "--times", "1", "--held", "0.5", "--settings", "equal", "--tools", "script", "--here"]
SCENES = ["first", "nothing", "0.1", "expiry", "rejected", "time-out"]
"""Of this program a kill takes a minute to heal: its right to send must run out first."""


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict:
    file = tmp_path_factory.mktemp("peers") / "peers.json"
    code = main(["run", "peers", *SMALL, "--scenes", *SCENES, "--into", str(file)])
    told = json.loads(file.read_text(encoding="utf-8"))
    assert code == (0 if all(one["holds"] for one in told["musts"]) else 1)
    return told


def played(told: dict, scene: str) -> list[dict]:
    found = [row for row in told["tables"]["syncs"] if row["scene"] == scene]
    assert [row["tool"] for row in found] == ["personas-sync", "script"]
    return found


def test_each_tool_plays_each_scene_and_ends_right(told) -> None:
    assert {row["scene"] for row in told["tables"]["syncs"]} == {
        *("first push", "nothing changed", "0.1 % changed", "expiry only", "1 % rejected, then mended", "time-out after acceptance")
    }
    assert [row for row in told["tables"]["syncs"] if row["lost"] or not row["seconds"] > 0 or not row["cpu_seconds"] > 0] == []


def test_without_faults_each_change_is_told_once(told) -> None:
    for scene, changed in (("0.1 % changed", 2), ("expiry only", 2)):
        for row in played(told, scene):
            assert (row["changed"], row["rows"], row["rows_per_change"], row["repeated"]) == (changed, changed, 1.0, 0)
    assert [row["requests"] for row in played(told, "nothing changed")] == [0, 0]


def test_a_rejected_user_keeps_the_scripts_whole_batch_wrong_and_nobody_else_of_ours(told) -> None:
    ours, script = played(told, "1 % rejected, then mended")

    assert (ours["wrong"], script["wrong"]) == (1, 20)
    assert (ours["healed_after"], script["healed_after"]) == (1, 1)


def test_what_was_taken_and_not_answered_is_told_again(told) -> None:
    assert [row["repeated"] > 0 for row in played(told, "time-out after acceptance")] == [True, True]


def test_the_musts_name_both_tools(told) -> None:
    musts = {one["name"]: one for one in told["musts"]}

    assert musts["ours: users told wrong without faults"]["holds"]
    assert "0.1 % changed: processors, best peer ÷ ours" in musts
    assert "moesifapi" in told["facts"]["installed for script"]


@pytest.fixture
def standin():
    made = StandIn("vip")
    yield made
    made.stop()


def posted(standin: StandIn, body: bytes, encoding: str = "identity") -> int:
    headers = {"Content-Encoding": encoding}
    request = urllib.request.Request(f"{standin.url}/v1/users/batch", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status


def batch(**values: bool) -> bytes:
    return json.dumps([{"user_id": user, "metadata": {"vip": value}} for user, value in values.items()]).encode()


def test_the_stand_in_holds_the_latest_value_and_counts_what_it_knew(standin) -> None:
    assert posted(standin, batch(ann=True, bob=True)) == posted(standin, gzip.compress(batch(ann=False, bob=True)), "gzip") == 201

    assert standin.members() == {"bob"}
    counts = standin.counts()
    assert (counts.requests, counts.rows, counts.repeated) == (2, 4, 1)


def test_the_stand_in_takes_nothing_of_a_batch_that_it_refuses(standin) -> None:
    standin.behave(refused=["bob"])

    with pytest.raises(urllib.error.HTTPError, match="400"):
        posted(standin, batch(ann=True, bob=True))

    assert (standin.members(), standin.counts().refused, standin.counts().rows) == (frozenset(), 1, 0)


def test_the_stand_in_takes_a_request_that_it_does_not_answer(standin) -> None:
    standin.behave(held=1, held_seconds=0.1)

    with pytest.raises(OSError, match=r"reset|closed"):
        posted(standin, batch(ann=True))

    assert standin.members() == {"ann"}
    assert posted(standin, batch(ann=True)) == 201
