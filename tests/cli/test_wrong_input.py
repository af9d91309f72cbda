"""Wrong input at each command: one clear sentence on standard error, nothing on standard output, never a traceback."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest

from sync.cli.program import ELSEWHERE, SECTIONS, Command, Group

# Arguments, the exit code, and what the message must hold.
WRONG = [
    ((), 2, "Usage"),
    (("synk",), 2, "synk"),
    (("apply",), 2, "Did you mean 'definitions apply'?"),
    (("show", "buyers"), 2, "Did you mean 'audience show' or 'deliveries show'?"),
    (("migrate",), 2, "Did you mean 'db upgrade'?"),
    (("run",), 2, "Did you mean 'sync' or 'serve'?"),
    (("db",), 2, "Usage"),
    (("db", "sidegrade"), 2, "sidegrade"),
    (("config", "--yaml"), 2, "--yaml"),
    (("init", "here"), 2, "here"),
    (("definitions",), 2, "Usage"),
    (("definitions", "check", "nowhere.yaml"), 2, "there is no nowhere.yaml"),
    (("definitions", "apply"), 2, "there is no missing.yaml"),
    (("import",), 2, "FILE"),
    (("import", "nowhere.jsonl"), 2, "cannot read nowhere.jsonl: no such file"),
    (("import", "."), 2, "cannot read .: is a directory"),
    (("audience", "show"), 2, "KEY"),
    (("audience", "show", "nobody"), 2, "there is no audience or computed trait 'nobody'"),
    (("preview", "event('Order"), 2, "^"),
    (("preview", "trait('a') = 1", "--at", "yesterday"), 2, "expected a date such as"),
    (("preview", "trait('a') = 1", "--limit", "0"), 2, "--limit"),
    (("compute", "nobody"), 2, "there is no missing.yaml"),
    (("compute", "--at", "2026-13-01"), 2, "expected a date such as"),
    (("sync",), 3, "SYNC_MOESIF_APPLICATION_ID is not set"),
    (("sync", "--wait", "nan"), 2, "--wait"),
    (("sync", "--wait", "0"), 2, "--wait"),
    (("members", "nobody"), 2, "there is no audience or computed trait 'nobody'"),
    (("members",), 2, "KEY"),
    (("members", "nobody", "--at", "2026-01-01"), 2, "there is no audience or computed trait 'nobody'"),
    (("members", "nobody", "--at", "soon"), 2, "expected a date such as"),
    (("user", "ann"), 2, "there is no user 'ann'"),
    (("user",), 2, "ID"),
    (("user", "ann", "--limit", "0"), 2, "--limit"),
    (("explain", "nobody"), 2, "ID"),
    (("explain", "nobody", "ann"), 2, "there is no audience or computed trait 'nobody'"),
    (("explain", "nobody", "ann", "--at", "soon"), 2, "expected a date such as"),
    (("explain", "nobody", "ann", "--events", "-1"), 2, "--events"),
    (("audience", "show", "nobody", "--limit", "0"), 2, "--limit"),
    (("user", "\udcff"), 2, "UTF-8"),
    (("runs", "nobody"), 2, "there is no audience or computed trait 'nobody'"),
    (("deliveries", "--state", "lost"), 2, "lost"),
    (("deliveries", "show", "17"), 2, "call-17"),
    (("deliveries", "show", "call-17"), 2, "there is no delivery call-17"),
    (("deliveries", "show", "ledger-3-42"), 2, "there is no such delivery"),
    (("deliveries", "retry"), 2, "say what to retry"),
    (("deliveries", "retry", "call-17", "--all"), 2, "say what to retry"),
    (("deliveries", "retry", "call-17"), 2, "there is no delivery call-17"),
    (("replay",), 2, "--since"),
    (("replay", "--since", "2026-03-02", "--until", "2026-03-01"), 2, "--until must be later than --since"),
    (("replay", "--since", "2026-03-02"), 3, "SYNC_MOESIF_APPLICATION_ID is not set"),
    (("serve", "--only", "half"), 2, "half"),
    (("serve", "--host", "http://here"), 2, "--host"),
    (("serve", "--port", "70000"), 2, "--port"),
    (("serve", "--host", "0.0.0.0"), 3, "SYNC_WRITE_KEYS is not set"),
    (("stand-in", "--port", "x"), 2, "--port"),
    (("demo", "--folder", "personas.yaml"), 2, "personas.yaml"),
    (("demo", "--folder", "/dev/null/here"), 2, "the folder /dev/null/here cannot be made: not a directory"),
    (("deliveries", "--limit", "x"), 2, "'x' is not what was expected: a whole number from 1 to 1,000,000"),
    (("deliveries", "--state", "lost"), 2, "'lost' is not what was expected: owed, unknown, sending or rejected"),
    (("deliveries", "retry", "--since", "2026-03-02", "--until", "2026-03-01"), 2, "until must be later than since"),
    (("types", "--lane", "nonsense"), 2, "'nonsense' is not what was expected: users, actions or companies"),
    (("types", "forget", "nonsense", "x"), 2, "'nonsense' is not what was expected: users, actions or companies"),
    (("types", "forget"), 2, "Missing argument 'LANE'."),
    (("sync", "--accept", "x"), 2, "'x' is not what was expected: a whole number from 1"),
    (("sync", "--wait", "x"), 2, "'x' is not what was expected: a number of seconds from 1 to 86,400"),
    (("plan", "--sample", "1.5"), 2, "'1.5' is not what was expected: a whole number from 0 to 1,000"),
    (("serve", "--only", "both"), 2, "'both' is not what was expected: web or worker"),
    (("stand-in", "--port", "-1"), 2, "'-1' is not what was expected: a whole number from 0 to 65,535"),
]
NOT_OURS = ("Traceback", "fault of personas-sync", "Value error", "Input should", "Errno", "Choose from")
"""What only a library would say."""


@pytest.mark.parametrize(
    ("arguments", "code", "message"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_wrong_input_is_answered_with_one_clear_message(
    sqlite_line: Any, arguments: tuple[str, ...], code: int, message: str
) -> None:
    sqlite_line.environ["SYNC_DEFINITIONS"] = "missing.yaml"

    done = sqlite_line(*arguments)

    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert not [words for words in NOT_OURS if words in done.err]


def test_every_number_and_every_choice_is_read_in_our_own_words() -> None:
    left_to_typer = [
        f"{command.__name__} {parameter}"
        for command in {entry.run for entry in every_command()}
        for parameter, hint in get_type_hints(command, include_extras=True).items()
        if get_origin(hint) is Annotated and is_number_or_choice(hint) and hint.__metadata__[0].parser is None
    ]

    assert left_to_typer == []


def every_command() -> list[Command]:
    found = [entry for entries in SECTIONS.values() for entry in entries]
    return [one for entry in found for one in (entry.commands if isinstance(entry, Group) else [entry])]  # type: ignore[misc]


def is_number_or_choice(hint: Any) -> bool:
    kinds = {hint.__origin__, *get_args(hint.__origin__)}
    return not {int, float}.isdisjoint(kinds) or any(get_origin(kind) is Literal for kind in kinds)


NEEDS_A_STORE = """\
definitions apply
import calls.jsonl
audiences
audience show buyers
preview "trait('a') = 1"
compute
sync
members buyers
user ann
explain buyers ann
runs
deliveries
deliveries show call-1
deliveries retry --all
replay --since 2026-01-01
serve
db check
"""


@pytest.mark.parametrize("typed", NEEDS_A_STORE.splitlines())
def test_a_store_without_tables_is_refused_with_the_command_that_makes_them(bare: Any, typed: str) -> None:
    bare.write("calls.jsonl", "{}\n")
    bare.write("personas.yaml", "audiences: []\n")
    bare.environ["SYNC_MOESIF_APPLICATION_ID"] = "app-1"

    done = bare(*shlex.split(typed))

    assert (done.code, done.out) == (5, "")
    assert done.err == "personas-sync: the store sqlite:///personas.db has no tables yet: run  personas-sync db upgrade\n"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///personas.yaml", "file is not a database"),
        ("sqlite:////nowhere/at/all.db", "unable to open database file"),
        ("postgresql+psycopg://ann:secret@127.0.0.1:1/none", "onnection refused"),
    ],
)
@pytest.mark.parametrize("arguments", [("audiences",), ("db", "upgrade"), ("db", "check")], ids=" ".join)
def test_a_store_that_cannot_be_used_is_said_without_its_password(
    bare: Any, url: str, message: str, arguments: tuple[str, ...]
) -> None:
    bare.write("personas.yaml", "audiences: []\n" * 200)
    bare.environ["SYNC_DATABASE_URL"] = url

    done = bare(*arguments)

    assert (done.code, done.out) == (5, "")
    assert message in done.err
    assert not [words for words in ("secret", *NOT_OURS) if words in done.err]


def test_every_wrong_setting_is_named_at_once(bare: Any) -> None:
    bare.environ |= {"SYNC_PORT": "x", "SYNC_MOESIF_URL": "ftp://x", "SYNC_DATABSE_URL": "sqlite://"}

    done = bare("audiences")

    assert done.code == 3
    assert "3 settings are wrong" in done.err


@pytest.mark.parametrize("command", [("config",), ("doctor",), ("audiences",)], ids=" ".join)
def test_a_url_to_which_nothing_may_be_sent_is_refused_by_every_command(bare: Any, command: tuple[str, ...]) -> None:
    bare.environ |= {"SYNC_MOESIF_URL": "http://169.254.169.254", "SYNC_ALLOW_PLAIN_HTTP": "1"}

    done = bare(*command)

    assert done.code == 3
    assert (
        "SYNC_MOESIF_URL (environment): a link-local address or a cloud's metadata service is never Moesif's" in done.out + done.err
    )


def test_a_setting_that_there_is_not_is_a_warning(bare: Any) -> None:
    bare.environ["SYNC_UNHEARD_OF"] = "1"

    done = bare("config")

    assert done.code == 0
    assert "warning: SYNC_UNHEARD_OF" in done.err


def test_what_other_programs_call_a_command_leads_to_one_of_ours() -> None:
    names = {entry.name for entries in SECTIONS.values() for entry in entries}

    assert not names & ELSEWHERE.keys()
    assert {one.split()[0] for meant in ELSEWHERE.values() for one in meant} <= names
