"""No key, password or personal data in a log, an error or a metric: strings that occur nowhere else are sent down every road that
ends badly, and looked for afterwards in all that the program said."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import trustme
from sqlalchemy import make_url

from sync.call import Incoming
from sync.spool.record import line_of
from sync.standin import Fault, StandIn
from sync.store import Store
from tests.faults.endless import WITHOUT_END
from tests.make import identify
from tests.moesif.fronts import Front

KEY, WRITE_KEY, TOKEN, MANAGEMENT = "canary-app-key", "canary-write-key", "canary-api-token", "canary-management-key"
PASSWORD = "canary-db-password"
USER, EMAIL, TRAIT, EVENT = "canary-user", "canary@mail.example", "canary-trait", "canary-event-value"
CANARY = "canary"


def in_base64(text: str) -> list[str]:
    """Return what all base64 of a text has in it, wherever in what was encoded the text stands."""
    found = []
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + text.encode()).decode().rstrip("=")
        # The first and the last characters depend on what stands beside it.
        found.append(encoded[-(-before * 8 // 6) : (before + len(text)) * 8 // 6])
    return found


HIDDEN = in_base64(CANARY)

DEFINITIONS = """\
defaults: {every: 1 second, guard: off}
audiences:
  - name: Gold
    query: trait('plan') = 'canary-trait'
"""

BUSY = """\
  - name: Busy
    query: event('canary-event-value').count() >= 1
"""

GOOD = {"type": "identify", "userId": USER, "traits": {"email": EMAIL, "plan": TRAIT, "n": 1}}
TRACK = {"type": "track", "userId": USER, "event": "Order Completed", "properties": {"value": EVENT, "n": 1}}
BAD_ITEMS: list[Any] = [
    {**GOOD, "userId": {"a": USER}},
    {**TRACK, "event": [EVENT]},
    {**TRACK, "timestamp": EVENT},
    {**TRACK, "type": TRAIT},
    {**TRACK, "properties": TRAIT},
    {**TRACK, "messageId": EVENT * 20},
    {**TRACK, "properties": {"nul": f"{TRAIT}\0"}},
    {**TRACK, "properties": {"large": TRAIT * 5000}},
    TRAIT,
]
BROKEN_BODIES: list[bytes] = [
    f'{{"userId":"{USER}", "traits": NaN {TRAIT}'.encode(),
    f'{{"userId":"{USER}","traits":{{"a":"\\ud800{TRAIT}"}}}}'.encode(),
    f'["{TRAIT}"]'.encode(),
    TRAIT.encode("utf-16"),
    json.dumps({"batch": TRAIT}).encode(),
]


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "key:"])
def test_what_stands_in_base64_is_found_wherever_it_stands(before: str) -> None:
    hidden = base64.b64encode(f"{before}{CANARY}-app-key:".encode()).decode()

    assert any(one in hidden for one in HIDDEN)


@dataclass
class Said:
    """Everything that came out where it must not hold a canary, by what it is."""

    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, text: str) -> None:
        self.texts.append((what, text))

    def command(self, line: Any, *words: str) -> Any:
        done = line(*words)
        self.add(" ".join(words), done.out + done.err)
        return done

    def answer(self, answer: requests.Response) -> requests.Response:
        self.add(f"{answer.request.method} {answer.status_code}", f"{answer.text}{answer.headers}")
        return answer

    def check(self, least: int) -> None:
        assert len(self.texts) >= least
        assert [(what, text) for what, text in self.texts if CANARY in text.lower() or any(one in text for one in HIDDEN)] == []


@dataclass
class Serving:
    """The service as a process, whose output goes to a file."""

    process: subprocess.Popen[bytes]
    url: str
    log: Callable[[], str]

    def post(self, path: str, body: Any, key: str = WRITE_KEY) -> requests.Response:
        how = {"data": body} if isinstance(body, bytes) else {"json": body}
        return requests.post(self.url + path, auth=(key, ""), timeout=20, **how)

    def get(self, path: str, token: str = TOKEN) -> requests.Response:
        return requests.get(self.url + path, headers={"authorization": f"Bearer {token}"}, timeout=20)

    def wait_for(self, text: str, seconds: float = 20) -> None:
        ends = time.monotonic() + seconds
        while text not in self.log():
            assert time.monotonic() < ends, self.log()
            assert self.process.poll() is None, self.log()
            time.sleep(0.05)

    def stop(self) -> str:
        self.process.terminate()
        self.process.wait(30)
        return self.log()


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def secret_line(line: Any, standin: StandIn) -> Any:
    """A command line whose every secret is a canary; the stand-in takes the key."""
    line.environ |= {
        "SYNC_DATABASE_URL": _with_password(line.environ["SYNC_DATABASE_URL"]),
        "SYNC_WRITE_KEYS": f"web={WRITE_KEY}",
        "SYNC_API_TOKEN": TOKEN,
        "SYNC_MOESIF_MANAGEMENT_KEY": MANAGEMENT,
        "SYNC_MOESIF_MANAGEMENT_URL": standin.url,
        "SYNC_LOG_LEVEL": "debug",
        "SYNC_PORT": "0",
    }
    line.write("personas.yaml", DEFINITIONS)
    return line


def _with_password(url: str) -> str:
    parsed = make_url(url)
    return url if parsed.drivername == "sqlite" else parsed.set(password=PASSWORD).render_as_string(hide_password=False)


@pytest.fixture
def serving(secret_line: Any) -> Iterator[Callable[..., Serving]]:
    """Start the service."""
    started: list[Serving] = []

    def start(*words: str, **environ: str) -> Serving:
        secret_line.environ |= environ
        path = secret_line.folder / f"said-{len(started)}.txt"
        with path.open("wb") as file:
            process = secret_line.started("serve", *words, stdout=file, stderr=subprocess.STDOUT)
        service = Serving(process, "", path.read_text)
        service.wait_for("listens on ")
        service.url = service.log().partition("listens on ")[2].split()[0]
        started.append(service)
        return service

    yield start
    for service in started:
        service.process.kill()
        service.process.wait()


def spoil(url: str, *tables: str, what: str = "INSERT") -> None:
    """Make the database refuse each delivery and membership, or something else, in a message that repeats somebody's data."""
    store = Store.at(url)
    with store.writing() as connection:
        for table in tables or ("deliveries", "memberships"):
            for statement in _refusing(table, what, on_sqlite=store.on_sqlite):
                connection.exec_driver_sql(statement)
    store.close()


def _refusing(table: str, what: str, *, on_sqlite: bool) -> list[str]:
    message = f"cannot take {USER} {EMAIL}"
    if on_sqlite:
        return [f"CREATE TRIGGER no_{table} BEFORE {what} ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END"]
    body = f"BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END"
    return [
        f"CREATE FUNCTION no_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE TRIGGER no_{table} BEFORE {what} ON {table} FOR EACH ROW EXECUTE FUNCTION no_{table}()",
    ]


@contextmanager
def calls_without_end(url: str) -> Iterator[None]:
    """Let nobody get to the end of the calls: on SQLite they are without end, on PostgreSQL somebody keeps them."""
    store = Store.at(url)
    with store.engine.connect() as connection, connection.begin():
        if store.on_sqlite:
            connection.exec_driver_sql("ALTER TABLE calls RENAME TO calls_before")
            connection.exec_driver_sql(f"CREATE VIEW calls AS SELECT * FROM calls_before WHERE ({WITHOUT_END}) > 0")
            connection.commit()
        else:
            connection.exec_driver_sql("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE")
        yield
    store.close()


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_senders_do_wrong_shows_nothing(said: Said, serving: Any, standin: StandIn, form: str) -> None:
    service = serving(SYNC_LOG_FORMAT=form)

    for body in BROKEN_BODIES:
        assert said.answer(service.post("/v1/identify", body)).status_code in (400, 413)
        said.answer(service.post("/v1/batch", body))
    for item in BAD_ITEMS:
        said.answer(service.post("/v1/track", item))
    said.answer(service.post("/v1/batch", {"batch": [GOOD, *BAD_ITEMS, TRACK]}))
    for data in (json.dumps({**TRACK, "writeKey": WRITE_KEY}), json.dumps({**TRACK, "writeKey": "canary-other"}), TRAIT):
        packed = base64.b64encode(data.encode()).decode()
        said.answer(requests.get(f"{service.url}/v1/pixel/track", params={"data": packed}, timeout=20))
    assert said.answer(service.post("/v1/track", TRACK, key="canary-no-such-key")).status_code == 401
    assert said.answer(service.post("/v1/track", {**TRACK, "writeKey": "canary-other"}, key="")).status_code == 401
    assert said.answer(service.get("/api/audiences", token="canary-wrong")).status_code == 401
    said.answer(service.get(f"/v1/spaces/default/collections/users/profiles/canary_type:{USER}/traits", token="no"))
    said.answer(service.post("/api/deliveries/retry", {"ids": [TRAIT]}, key="canary-wrong"))
    said.answer(service.get("/metrics"))
    said.answer(service.get("/readyz"))
    said.add("log", service.stop())

    said.check(least=31)


FAULTS = {
    "400 that repeats it": Fault(status=400, body=json.dumps({"message": f"{TRAIT} of {USER} is bad, {EMAIL}"}), times=1000),
    "401": Fault(status=401, body=KEY, times=1000),
    "500": Fault(status=500, body=f"<html>{TRAIT} {KEY}</html>", times=1000),
    "redirect": Fault(status=302, location=f"http://{TRAIT}.example/{KEY}", times=1000),
    "reset": Fault(close="midway", times=1000),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_moesif_answers_shows_nothing(said: Said, secret_line: Any, standin: StandIn, fault: Fault) -> None:
    secret_line.write("calls.jsonl", "".join(f"{json.dumps(call)}\n" for call in (GOOD, TRACK)))
    said.command(secret_line, "import", "--forward", "calls.jsonl")
    standin.misbehave(fault)

    done = said.command(secret_line, "sync", "--wait", "1")
    said.command(secret_line, "sync", "--wait", "1", "--json")
    said.command(secret_line, "runs", "--json")
    listed = secret_line("deliveries", "--json").json["items"]
    said.add("reasons", json.dumps([item["reason"] for item in listed]))

    assert done.code in (1, 3, 5)
    said.check(least=5)


def test_an_error_that_nobody_foresaw_shows_where_it_was_and_not_what_it_said(said: Said, serving: Any, secret_line: Any) -> None:
    """Ingest, compute and a command run into a database whose error messages repeat the row."""
    spoil(secret_line.environ["SYNC_DATABASE_URL"])
    secret_line.write("calls.jsonl", json.dumps(GOOD))
    assert said.command(secret_line, "import", "--forward", "calls.jsonl").code == 70
    assert said.command(secret_line, "import", "calls.jsonl").code == 0
    assert said.command(secret_line, "sync", "--wait", "1").code == 70
    service = serving()

    assert said.answer(service.post("/v1/identify", GOOD | {"messageId": "m2"})).status_code == 500
    service.wait_for("_run_if_leading")
    said.add("log", service.stop())

    assert "IntegrityError" in said.texts[-1][1]
    said.check(least=5)


def test_what_is_spooled_while_the_store_is_away_is_named_nowhere_else(said: Said, serving: Any, secret_line: Any) -> None:
    away = f"postgresql+psycopg://somebody:{PASSWORD}@127.0.0.1:1/db"
    service = serving("--only", "web", SYNC_DATABASE_URL=away, SYNC_SPOOL="spool")

    assert said.answer(service.post("/v1/identify", GOOD)).status_code == 200
    assert said.answer(service.post("/v1/batch", {"batch": [TRACK, *BAD_ITEMS]})).status_code == 200
    for path in ("/readyz", "/metrics", "/api/audiences", f"/api/deliveries?state={TRAIT}"):
        said.answer(service.get(path))
    said.command(secret_line, "doctor")
    said.add("log", service.stop())

    assert "spool" in said.texts[-1][1]
    said.check(least=8)


def test_what_a_spool_sets_aside_is_named_nowhere_else(said: Said, serving: Any, secret_line: Any) -> None:
    """One record that is damaged, and one that the store refuses in a message that repeats it."""
    spoil(secret_line.environ["SYNC_DATABASE_URL"])
    good = Incoming(source="web", calls=(identify(USER, {"email": EMAIL, "plan": TRAIT}, message_id=EVENT),))
    (secret_line.folder / "spool").mkdir()
    secret_line.write("spool/00000001.spool", b"00000000" + line_of(good)[8:] + line_of(good))

    service = serving("--only", "web", SYNC_SPOOL="spool")
    service.wait_for("2 spooled requests are damaged")
    said.answer(service.get("/metrics"))
    said.command(secret_line, "doctor")
    said.add("log", service.stop())

    assert "set-aside" in said.texts[-1][1]
    assert "IntegrityError" in said.texts[-1][1]
    said.check(least=3)


def test_one_at_moesifs_address_who_cannot_prove_it_is_told_nothing_and_so_is_the_log(
    said: Said, secret_line: Any, standin: StandIn
) -> None:
    secret_line.write("calls.jsonl", "".join(f"{json.dumps(call)}\n" for call in (GOOD, TRACK)))
    said.command(secret_line, "import", "--forward", "calls.jsonl")

    with Front(trustme.CA().issue_cert("127.0.0.1"), standin.url) as front:
        secret_line.environ["SYNC_MOESIF_URL"] = front.url
        said.command(secret_line, "sync", "--wait", "1")
        said.command(secret_line, "doctor")

    reasons = {item["reason"] for item in secret_line("deliveries", "--json").json["items"]}
    said.add("reasons", str(reasons))
    assert reasons == {"no secure connection: the certificate or the protocol was refused"}
    assert (front.heard, standin.users()) == ([], {})
    said.check(least=4)


def test_a_run_that_a_guard_stops_or_that_ends_at_its_deadline_shows_whom_it_was_about_to_nobody(
    said: Said, secret_line: Any, standin: StandIn
) -> None:
    secret_line.environ["SYNC_RUN_TIMEOUT"] = "1 second"
    secret_line.write("personas.yaml", DEFINITIONS.replace("off", "{max_entries: 1}"))
    calls = [GOOD | {"userId": f"{USER}-{number}", "messageId": f"m{number}"} for number in range(5)]
    secret_line.import_calls(calls[0])
    assert said.command(secret_line, "sync", "--wait", "1").code == 0
    secret_line.import_calls(*calls[1:], TRACK | {"event": EVENT})

    assert said.command(secret_line, "sync", "gold", "--wait", "1").code == 4
    said.command(secret_line, "doctor")
    secret_line.write("personas.yaml", DEFINITIONS + BUSY)
    with calls_without_end(secret_line.environ["SYNC_DATABASE_URL"]):
        assert said.command(secret_line, "sync", "busy", "--wait", "1").code == 1
        for words in (["runs"], ["runs", "--json"], ["audiences"]):
            said.command(secret_line, *words)

    assert "guarded" in said.texts[-2][1]
    assert "SYNC_RUN_TIMEOUT" in said.texts[-2][1]
    said.check(least=7)


def test_explain_purge_and_replay_do_not_say_what_the_database_said(said: Said, secret_line: Any, standin: StandIn) -> None:
    url = secret_line.environ["SYNC_DATABASE_URL"]
    secret_line.import_calls(GOOD | {"timestamp": "2020-01-01T00:00:00Z"}, TRACK | {"timestamp": "2020-01-01T00:00:00Z"})
    said.command(secret_line, "sync", "--wait", "1")
    secret_line.environ["SYNC_RETAIN_EVENTS"] = "30 days"
    spoil(url, "calls", what="DELETE")
    spoil(url, "deliveries")

    assert said.command(secret_line, "purge").code == 70
    assert said.command(secret_line, "replay", "--since", "2019-01-01").code == 70
    store = Store.at(url)
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE memberships RENAME TO memberships_before")
    store.close()
    explained = secret_line("explain", "gold", USER)

    said.add("explain", explained.out + explained.err)
    assert explained.code in (5, 70)
    said.check(least=4)


@pytest.mark.parametrize("status", [401, 500])
def test_a_user_who_cannot_be_deleted_at_moesif_is_named_by_id_alone(
    said: Said, secret_line: Any, standin: StandIn, status: int
) -> None:
    secret_line.write("calls.jsonl", json.dumps({**GOOD, "userId": "ann"}))
    said.command(secret_line, "import", "calls.jsonl")
    standin.misbehave(Fault(lane="management", status=status, body=json.dumps({"message": f"{EMAIL} {MANAGEMENT}"}), times=9))

    done = said.command(secret_line, "forget", "ann", "--in-moesif", "--yes")

    assert done.code in (1, 5)
    said.check(least=2)


def test_settings_and_a_store_that_is_away_show_no_secret(said: Said, secret_line: Any) -> None:
    for words in (["config"], ["config", "--json"], ["doctor"], ["doctor", "--json"], ["plan"], ["audiences"]):
        said.command(secret_line, *words)
    for url in (
        f"postgresql+psycopg://canary-role:{PASSWORD}@127.0.0.1:1/db",
        f"postgresql+psycopg://x:{PASSWORD}@h/db?password={PASSWORD}",
    ):
        secret_line.environ["SYNC_DATABASE_URL"] = url
        for words in (["doctor"], ["audiences"], ["sync"], ["config"]):
            said.command(secret_line, *words)
    for name in ("SYNC_DATABASE_URL", "SYNC_MOESIF_URL", "SYNC_WRITE_KEYS", "SYNC_PORT", "SYNC_MOESIF_APPLICATION_ID"):
        secret_line.environ[name] = f"canary secret:{KEY}@"
    said.command(secret_line, "doctor")

    said.texts = [(what, text.replace("canary-role", "")) for what, text in said.texts]
    said.check(least=15)
