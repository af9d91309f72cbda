"""The stand-in does what Moesif documents of its Collector API."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import requests

from sync.errors import InputError
from sync.standin import Counts, Fault, StandIn

ACTION: dict[str, Any] = {
    "action_name": "Paid",
    "user_id": "ann",
    "transaction_id": "7b0f2c6e-3a41-5f0c-8e0d-51c1b7d0a9f2",
    "request": {"time": "2026-03-04T09:16:02.005Z", "uri": "https://app.example.org/"},
}


def test_a_batch_and_a_single_item_are_taken_with_201(standin: StandIn, client: Any) -> None:
    answers = [client.post("/v1/users", {"user_id": "ann"}), client.zipped("/v1/users/batch", [{"user_id": "bob"}])]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert sorted(standin.users()) == ["ann", "bob"]


def test_an_update_is_merged_at_every_depth_and_arrays_are_replaced(standin: StandIn, client: Any) -> None:
    client.post("/v1/users", {"user_id": "ann", "company_id": "acme", "metadata": {"a": {"x": 1, "y": 1}, "tags": [1, 2]}})
    client.post("/v1/users", {"user_id": "ann", "metadata": {"a": {"y": 2}, "tags": [3], "big_spender": True}})

    expected = {"a": {"x": 1, "y": 2}, "tags": [3], "big_spender": True}
    assert standin.user("ann") == {"user_id": "ann", "company_id": "acme", "metadata": expected}


def test_a_top_level_null_changes_nothing(standin: StandIn, client: Any) -> None:
    client.post("/v1/users", {"user_id": "ann", "company_id": "acme"})
    client.post("/v1/users", {"user_id": "ann", "company_id": None, "metadata": None})

    assert standin.user("ann") == {"user_id": "ann", "company_id": "acme"}


def test_an_action_that_is_sent_again_is_held_once_and_counted(standin: StandIn, client: Any) -> None:
    client.post("/v1/actions/batch", [ACTION, ACTION | {"transaction_id": "c2a4e9d8-1f63-5d77-b2ab-90e4d6f81c3e"}])
    client.post("/v1/actions/batch", [ACTION])

    assert len(standin.actions()) == 2
    assert standin.requests["actions"] == Counts(requests=2, accepted=2, rows=3, duplicates=1)


def test_a_user_that_stands_twice_in_a_batch_is_counted(standin: StandIn, client: Any) -> None:
    client.post("/v1/users/batch", [{"user_id": "ann"}, {"user_id": "ann"}])

    assert standin.requests["users"] == Counts(requests=1, accepted=1, rows=2, duplicates=1)


@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("users", {"metadata": {}}),
        ("users", {"user_id": 7}),
        ("users", {"user_id": ""}),
        ("users", {"user_id": "ann", "metadata": []}),
        ("users", {"user_id": "ann", "modified_time": "yesterday"}),
        ("users", "ann"),
        ("companies", {"user_id": "ann"}),
        ("actions", {key: value for key, value in ACTION.items() if key != "action_name"}),
        ("actions", {key: value for key, value in ACTION.items() if key != "request"}),
        ("actions", ACTION | {"request": {"uri": "/reports"}}),
        ("actions", ACTION | {"request": {"uri": "https://a.example", "time": "soon"}}),
        ("actions", ACTION | {"transaction_id": "m-1"}),
    ],
)
def test_an_item_that_the_reference_forbids_refuses_its_whole_batch(standin: StandIn, client: Any, path: str, item: Any) -> None:
    good = {"users": {"user_id": "bob"}, "companies": {"company_id": "acme"}, "actions": ACTION}[path]

    answer = client.post(f"/v1/{path}/batch", [good, item])

    assert answer.status_code == 400
    assert (standin.users(), standin.companies(), standin.actions()) == ({}, {}, [])


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"[{", {}, 400),
        (b'{"user_id":"ann"}', {}, 400),  # no array
        (b"no gzip", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b'[{"user_id":"ann"}]', mtime=0)[:-9], {"Content-Encoding": "gzip"}, 400),
        (b"[]", {"Content-Encoding": "br"}, 415),
        (gzip.compress(b" " * 15_000_001, mtime=0), {"Content-Encoding": "gzip"}, 413),  # counted unpacked
        (b'[{"user_id":"ann","metadata":{"a":"' + b"x" * 1_000_000 + b'"}}]', {}, 413),  # one item above 1 MB
        (b'[{"user_id":"ann"}]', {"X-Moesif-Application-Id": "app-2"}, 401),
        (b'[{"user_id":"ann"}]', {"X-Moesif-Application-Id": ""}, 401),
    ],
)
def test_a_request_that_cannot_be_taken_is_refused(
    standin: StandIn, client: Any, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.send("/v1/users/batch", body, **headers)

    assert (answer.status_code, standin.users()) == (status, {})
    assert "message" in answer.json()


def test_too_long_a_body_is_refused_before_it_is_read(client: Any) -> None:
    with requests.Session() as session:
        request = requests.Request("POST", f"{client.url}/v1/users/batch").prepare()
        request.headers["Content-Length"] = "15000001"
        answer = session.send(request, timeout=5)

    assert (answer.status_code, answer.headers["Connection"]) == (413, "close")


def test_other_paths_are_not_found(client: Any) -> None:
    assert [client.post(path, []).status_code for path in ("/", "/v1/people/batch", "/v1/users/batch/more")] == [404, 404, 404]


def test_with_the_type_lock_a_key_keeps_the_type_it_came_with() -> None:
    with StandIn.start(type_lock=True) as standin, requests.Session() as session:

        def told(metadata: object) -> int:
            item = {"user_id": "ann", "metadata": metadata}
            return session.post(
                f"{standin.url}/v1/users", json=item, headers={"X-Moesif-Application-Id": "any"}, timeout=5
            ).status_code

        assert told({"flag": True, "deep": {"n": 1}}) == 201
        assert told({"flag": "true"}) == 400
        assert told({"deep": {"n": "1"}}) == 400
        assert told({"deep": {"n": 2.5}, "flag": False}) == 201
        assert told({"new": 1, "flag": 0}) == 400
        assert told({"new": "one"}) == 201  # a refused batch has taught it nothing
        assert standin.users()["ann"]["metadata"] == {"flag": False, "deep": {"n": 2.5}, "new": "one"}


def test_it_can_be_asked_over_http_what_it_holds(client: Any) -> None:
    client.post("/v1/users", {"user_id": "ann/é ?"})
    client.post("/v1/companies", {"company_id": "acme"})
    client.post("/v1/actions", ACTION)

    assert client.ask("/health/probe") == {"status": True}
    assert client.ask("/_standin/users") == {"ann/é ?": {"user_id": "ann/é ?"}}
    assert client.ask("/_standin/users/ann%2F%C3%A9%20%3F") == {"user_id": "ann/é ?"}
    assert client.ask("/_standin/users/bob") == {"message": "no such user"}
    assert client.ask("/_standin/companies") == {"acme": {"company_id": "acme"}}
    assert client.ask("/_standin/actions") == [ACTION]
    assert client.ask("/_standin/requests")["users"] == {"requests": 1, "accepted": 1, "rows": 1, "duplicates": 0}


def test_it_forgets_everything_when_told(standin: StandIn, client: Any) -> None:
    client.post("/v1/users", {"user_id": "ann"})
    client.post("/_standin/faults", {"answers": [{"status": 503}]})

    requests.delete(f"{client.url}/_standin", timeout=5)

    assert standin.users() == {}
    assert standin.requests["users"] == Counts()
    assert client.post("/v1/users", {"user_id": "bob"}).status_code == 201


def test_a_script_is_played_in_order_on_its_lane_and_then_it_behaves(standin: StandIn, client: Any) -> None:
    script = {"lane": "users", "answers": [{"status": 503, "retry_after": 2, "times": 2}, {"status": 400, "body": "no"}]}
    client.post("/_standin/faults", script)

    others = client.post("/v1/companies", {"company_id": "acme"})
    answers = [client.post("/v1/users", {"user_id": "ann"}) for _ in range(4)]

    assert others.status_code == 201
    assert [answer.status_code for answer in answers] == [503, 503, 400, 201]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["2", "2", None, None]
    assert answers[2].text == "no"
    assert standin.requests["users"] == Counts(requests=4, accepted=1, rows=1)


def test_a_poisoned_user_spoils_every_batch_it_is_in(standin: StandIn, client: Any) -> None:
    standin.misbehave(Fault(status=400, when_user="bob"))

    spoilt = [client.post("/v1/users/batch", [{"user_id": "ann"}, {"user_id": "bob"}]).status_code for _ in range(3)]
    good = client.post("/v1/users/batch", [{"user_id": "ann"}]).status_code

    assert (spoilt, good) == ([400, 400, 400], 201)
    assert sorted(standin.users()) == ["ann"]


@pytest.mark.parametrize(
    ("fault", "held"),
    [(Fault(close="before"), []), (Fault(close="after"), ["ann"]), (Fault(close="midway"), ["ann"])],
)
def test_it_drops_connections_before_or_after_taking_what_was_sent(
    standin: StandIn, client: Any, fault: Fault, held: list[str]
) -> None:
    standin.misbehave(fault)

    with pytest.raises(requests.RequestException):
        client.post("/v1/users", {"user_id": "ann"})

    assert sorted(standin.users()) == held


def test_it_can_take_what_was_sent_and_answer_an_error_all_the_same(standin: StandIn, client: Any) -> None:
    standin.misbehave(Fault(status=503, applied=True))

    assert client.post("/v1/users", {"user_id": "ann"}).status_code == 503
    assert sorted(standin.users()) == ["ann"]


def test_what_is_delayed_is_taken_late_and_after_something_newer(standin: StandIn) -> None:
    standin.misbehave(Fault(delay_seconds=0.3))

    def tell(value: int) -> None:
        item = {"user_id": "ann", "metadata": {"n": value}}
        requests.post(f"{standin.url}/v1/users", json=item, headers={"X-Moesif-Application-Id": "app-1"}, timeout=5)

    slow = threading.Thread(target=tell, args=(1,))
    slow.start()
    while standin.requests["users"].requests == 0:
        time.sleep(0.005)
    tell(2)
    newer = standin.user("ann")
    slow.join()

    assert newer == {"user_id": "ann", "metadata": {"n": 2}}
    assert standin.user("ann") == {"user_id": "ann", "metadata": {"n": 1}}


@pytest.mark.parametrize("script", [{}, {"answers": [{"statuss": 503}]}, {"answers": [{"close": "now"}]}, [], 7])
def test_a_script_that_makes_no_sense_is_refused(client: Any, script: Any) -> None:
    answer = client.post("/_standin/faults", script)

    assert answer.status_code == 400
    assert answer.json()["message"]


def test_once_stopped_it_answers_nobody_not_even_over_a_kept_connection(client: Any, standin: StandIn) -> None:
    client.post("/v1/users", {"user_id": "ann"})

    standin.stop()

    with pytest.raises(requests.ConnectionError):
        client.post("/v1/users", {"user_id": "bob"})
    assert sorted(standin.users()) == ["ann"]


def test_it_comes_back_on_the_same_port_and_a_taken_port_is_the_users_mistake() -> None:
    with StandIn.start() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(InputError, match="cannot listen"):
            StandIn.start(port)

    with StandIn.start(port) as second:
        assert second.url == first.url


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_run_stops_cleanly_on_a_signal(ending: signal.Signals) -> None:
    program = "from sync.standin import run; run('127.0.0.1', 0, ready=lambda url: print(url, flush=True))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        alive = requests.get(f"{url}/health/probe", timeout=5).status_code
        os.kill(process.pid, ending)

        assert (alive, process.wait(timeout=5)) == (200, 0)


def test_it_takes_hundreds_of_batches_a_second_over_a_few_connections(standin: StandIn) -> None:
    batch = gzip.compress(
        str([{"user_id": f"u-{n}", "metadata": {"big_spender": 1}} for n in range(10)]).replace("'", '"').encode()
    )
    started = time.monotonic()

    def send() -> None:
        with requests.Session() as session:
            for _ in range(50):
                headers = {"X-Moesif-Application-Id": "app-1", "Content-Encoding": "gzip"}
                assert session.post(f"{standin.url}/v1/users/batch", data=batch, headers=headers, timeout=5).status_code == 201

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert standin.requests["users"] == Counts(requests=200, accepted=200, rows=2000)
    assert standin.connections == 4
    assert time.monotonic() - started < 10  # takes half a second; a lost acknowledgement a request would take eight
