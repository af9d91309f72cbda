"""What a batch had in it that was refused is there to be seen, beside what was stored."""

from __future__ import annotations

from typing import Any


def test_a_bad_call_of_a_batch_that_was_answered_200_is_listed_with_its_reason_and_as_it_came(operated: Any) -> None:
    good, bad = {"type": "track", "userId": "ann", "event": "x"}, {"type": "track", "event": "of nobody"}
    answer = operated.post("/v1/batch", {"batch": [good, bad, bad], "writeKey": "any"}, token=None)
    told = operated.get("/api/rejected-calls?limit=1").json()

    assert answer.status_code == 200
    assert told["rejected"] == 2
    assert [(one["source"], one["calls"]) for one in told["numbers"]] == [("default", 2)]
    [item] = told["items"]
    assert item["code"] == told["numbers"][0]["code"]
    assert "of nobody" in item["body"]
    assert item["message"]

    [earlier] = operated.get(f"/api/rejected-calls?before={item['id']}").json()["items"]
    assert earlier["id"] < item["id"]
    assert operated.get("/api/rejected-calls?source=other").json()["items"] == []
    assert operated.get("/api/rejected-calls?code=other").json()["items"] == []
