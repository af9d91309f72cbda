"""Segment's own SDKs, unmodified, over real sockets: accepted the first time, nothing sent twice.

Node's SDK is fetched once with npm into the user's cache folder. Without Node these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from segment.analytics.client import Client

NODE_SDK = "@segment/analytics-node@3.1.0"
NODE_SCRIPT = """
const { Analytics } = require('@segment/analytics-node')
const [writeKey, host, errors] = [process.argv[2], process.argv[3], []]
const analytics = new Analytics({ writeKey, host, flushInterval: 50 })
analytics.on('error', (error) => errors.push(String(error.code)))
analytics.identify({ userId: 'ann', traits: { plan: 'pro', age: 42 } })
analytics.track({ userId: 'ann', event: 'Order Completed', properties: { revenue: 12.5, paid: true } })
analytics.page({ userId: 'ann', name: 'Home', category: 'Docs', properties: { url: '/' } })
analytics.screen({ userId: 'ann', name: 'Start', category: 'App' })
analytics.group({ userId: 'ann', groupId: 'acme', traits: { name: 'Acme' } })
analytics.alias({ userId: 'ann', previousId: 'old' })
analytics.track({ anonymousId: 'a1', event: 'Visited', timestamp: new Date(Date.now() - 60000) })
analytics.closeAndFlush({ timeout: 5000 }).then(() => console.log(JSON.stringify(errors)))
"""
ALL_SEVEN = ["identify", "track", "page", "screen", "group", "alias", "track"]


def send_all_seven(client: Client) -> None:
    client.identify("ann", {"plan": "pro", "age": 42})
    client.track("ann", "Order Completed", {"revenue": 12.5, "paid": True})
    client.page("ann", "Docs", "Home", {"url": "/"})
    client.screen("ann", "App", "Start")
    client.group("ann", "acme", {"name": "Acme"})
    client.alias("old", "ann")
    client.track(anonymous_id="a1", event="Visited")
    client.flush()
    client.join()


def check_all_seven(place: Any) -> None:
    calls = place.calls
    assert [call.type for call in calls] == ALL_SEVEN
    assert [call.user_id for call in calls] == ["ann"] * 6 + [None]
    assert calls[0].properties == {"plan": "pro", "age": 42}
    assert calls[1].properties == {"revenue": 12.5, "paid": True}
    assert calls[2].properties["page_name"] == "Home"
    assert calls[2].properties["category"] == "Docs"
    assert (calls[3].event, calls[3].properties["screen_name"]) == ("Screen Viewed", "Start")
    assert calls[4].group_id == "acme"
    assert calls[5].previous_id == "old"
    assert calls[6].anonymous_id == "a1"
    assert place.rejected == []


def check_nothing_was_sent_twice(place: Any) -> None:
    assert all(b"x-retry-count" not in headers for _, headers in place.asked)
    ids = [call.message_id for call in place.calls]
    assert len(set(ids)) == len(ids) == 7


@pytest.mark.parametrize("gzip", [False, True])
def test_the_python_sdk_is_accepted_the_first_time(place: Any, gzip: bool) -> None:
    errors: list[object] = []
    client = Client(
        "key-of-web", host=place.url, gzip=gzip, upload_interval=0.2, on_error=lambda error, _items: errors.append(error)
    )

    send_all_seven(client)

    assert errors == []
    check_all_seven(place)
    check_nothing_was_sent_twice(place)
    assert {path for path, _ in place.asked} == {"/v1/batch"}
    assert len(place.asked) == 1


def test_the_python_sdk_in_its_synchronous_mode_is_accepted_each_time(place: Any) -> None:
    client = Client("key-of-web", host=place.url + "/", sync_mode=True)

    for number in range(7):
        client.track(42, f"Event {number}")

    assert [call.user_id for call in place.calls] == ["42"] * 7
    assert len(place.asked) == 7
    check_nothing_was_sent_twice(place)


def test_the_python_sdk_is_told_that_its_key_is_wrong_and_does_not_try_again(place: Any) -> None:
    errors: list[object] = []
    client = Client("other", host=place.url, upload_interval=0.1, on_error=lambda error, _items: errors.append(error))

    client.track("ann", "Order Completed")
    client.flush()
    client.join()

    assert len(errors) == len(place.asked) == 1
    assert "unknown_source" in str(errors[0])


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Return a folder with Node's SDK, fetched by npm unless the cache has it."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs Node 18 or newer with npm (https://nodejs.org, or `apt-get install nodejs npm`)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "personas-sync-tests" / NODE_SDK.rpartition("/")[2]
    if not (cache / "node_modules" / "@segment" / "analytics-node").is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund", NODE_SDK]
        if subprocess.run(install, capture_output=True, timeout=120, check=False).returncode != 0:
            pytest.skip(f"npm could not fetch {NODE_SDK}: needs the npm registry once")
    return cache / "node_modules"


def run_node(node_modules: Path, folder: Path, key: str, host: str) -> list[str]:
    """Run the script and return the errors that the SDK reported."""
    script = folder / "send.js"
    script.write_text(NODE_SCRIPT)
    environment = {**os.environ, "NODE_PATH": str(node_modules), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(["node", str(script), key, host], env=environment, capture_output=True, text=True, timeout=30, check=True)
    errors: list[str] = json.loads(done.stdout)
    return errors


def test_the_node_sdk_is_accepted_the_first_time(place: Any, node_modules: Path, tmp_path: Path) -> None:
    errors = run_node(node_modules, tmp_path, "key-of-web", place.url)

    assert errors == []
    check_all_seven(place)
    check_nothing_was_sent_twice(place)
    assert {path for path, _ in place.asked} == {"/v1/batch"}


def test_the_node_sdk_is_told_that_its_key_is_wrong_and_does_not_try_again(place: Any, node_modules: Path, tmp_path: Path) -> None:
    errors = run_node(node_modules, tmp_path, "other", place.url)

    assert set(errors) == {"delivery_failure"}
    assert all(b"x-retry-count" not in headers for _, headers in place.asked)
    assert place.taken == []


@pytest.mark.parametrize(
    ("name", "path", "headers", "key_in_body", "basic"),
    [
        ("python 2.3", "/v1/batch", {"Content-Type": "application/json"}, True, False),
        ("browser 1.83", "/v1/b", {"Content-Type": "text/plain"}, True, False),
        ("browser 1.84", "/v1/b", {"Content-Type": "text/plain"}, True, True),
        ("ruby", "/v1/import", {"Content-Type": "application/json", "Accept": "application/json"}, False, True),
        ("java", "/v1/import/", {"Content-Type": "application/json; charset=utf-8"}, True, True),
        ("go", "/v1/batch", {"Content-Type": "application/json"}, False, True),
        ("php", "/v1/batch", {"Content-Type": "application/json"}, False, True),
        ("c#", "/v1/b", {}, True, False),
        ("swift", "/v1/b", {"Content-Type": "application/json; charset=utf-8"}, True, False),
    ],
)
def test_what_other_sdks_put_on_the_wire_meets_the_strictest_rule_of_success(
    place: Any, name: str, path: str, headers: dict[str, str], key_in_body: bool, basic: bool
) -> None:
    item: dict[str, Any] = {
        "type": "track",
        "userId": name,
        "event": "Order Completed",
        "anonymousId": None,
        "messageId": "m",
        "integrations": {},
    }
    body = {"batch": [item], "sentAt": "2024-05-01T12:00:00.000Z", **({"writeKey": "key-of-web"} if key_in_body else {})}

    answer = place.post(path, json.dumps(body).encode(), key="key-of-web" if basic else None, headers=headers)

    # Exactly 200 (PHP, .NET), an object (Ruby), with a boolean `success` (Java), no redirect (which Node counts as success).
    assert answer.status_code == 200
    assert answer.json() == {"success": True}
    assert [call.user_id for call in place.calls] == [name]
