"""Settings: where they come from, what each may be, and that nothing wrong or secret slips through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from sync.errors import SettingsError
from sync.settings import VARIABLES, InvalidSettings, Origin, Secret, Settings, describe, from_folder, is_loopback, read

SECRETS = (
    "SYNC_DATABASE_URL",
    "SYNC_MOESIF_APPLICATION_ID",
    "SYNC_MOESIF_MANAGEMENT_KEY",
    "SYNC_WRITE_KEYS",
    "SYNC_API_TOKEN",
)


def is_told(value: Secret | str | None, text: str) -> bool:
    """Whether a setting has been told this text, be it one that can be compared only or one that is sent."""
    return value.is_same(Secret(text)) if isinstance(value, Secret) else value == text


def are(keys: Mapping[str, Secret] | None, **expected: str) -> bool:
    assert keys is not None
    return keys.keys() == expected.keys() and all(is_told(keys[name], text) for name, text in expected.items())


def faults(environ: dict[str, str], dotenv: str = "") -> dict[str, str]:
    """Return the message of each fault by its variable."""
    with pytest.raises(InvalidSettings) as raised:
        read(environ, dotenv)
    return {fault.variable: fault.message for fault in raised.value.faults}


def test_without_any_variable_the_defaults_of_the_contract_hold() -> None:
    settings = read({})

    assert settings.database_url == "sqlite:///personas.db"
    assert settings.definitions == Path("personas.yaml")
    assert settings.moesif_application_id is None
    assert settings.moesif_url == "https://api.moesif.net"
    assert settings.moesif_management_key is None
    assert settings.moesif_management_url == "https://api.moesif.com"
    assert settings.write_keys is None
    assert settings.api_token is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8400)
    assert set(settings.origins.values()) == {Origin.DEFAULT}


def test_every_variable_has_its_field_and_every_field_its_variable() -> None:
    of_settings = {field.name for field in fields(Settings)} - {"origins", "warnings"}

    assert {variable.field for variable in VARIABLES} == of_settings


def test_every_secret_and_nothing_else_takes_a_file() -> None:
    assert tuple(variable.name for variable in VARIABLES if variable.file_name) == SECRETS


def test_every_default_and_example_is_valid() -> None:
    examples = {variable.name: variable.default or variable.example or "" for variable in VARIABLES}
    examples["SYNC_WRITE_KEYS"] = "web=a,server=b"

    assert are(read(examples).write_keys, web="a", server="b")


def test_the_environment_wins_over_dotenv_which_wins_over_the_default() -> None:
    settings = read({"SYNC_PORT": "1"}, "SYNC_PORT=2\nSYNC_HOST=0.0.0.0\n")

    assert (settings.port, settings.host, settings.space) == (1, "0.0.0.0", "default")
    assert settings.origins["SYNC_PORT"] == Origin.ENVIRONMENT
    assert settings.origins["SYNC_HOST"] == Origin.DOTENV
    assert settings.origins["SYNC_SPACE"] == Origin.DEFAULT


def test_an_empty_variable_counts_as_not_set_and_hides_the_one_in_dotenv() -> None:
    settings = read({"SYNC_API_TOKEN": " "}, "SYNC_API_TOKEN=from-dotenv\n")

    assert settings.api_token is None


def test_dotenv_may_have_comments_quotes_exports_and_dollar_signs() -> None:
    text = "\n# a comment\nexport SYNC_SPACE='mine'  # why\nSYNC_API_TOKEN=\"a$HOME${b}\"\nOTHER=x\n"

    settings = read({}, text)

    assert settings.space == "mine"
    assert is_told(settings.api_token, "a$HOME${b}")


@pytest.mark.parametrize("line", ["SYNC_PORT", "SYNC_PORT='1", "= 2"])
def test_a_line_of_dotenv_that_says_nothing_is_a_fault(line: str) -> None:
    assert faults({}, f"SYNC_SPACE=a\n{line}\n") == {"line 2": "expected NAME=value"}


def test_a_variable_that_stands_twice_in_dotenv_is_a_fault() -> None:
    assert "twice" in faults({}, "SYNC_PORT=1\nSYNC_PORT=2\n")["SYNC_PORT"]


def test_settings_are_read_from_the_dotenv_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\ufeffSYNC_PORT=9000\n", encoding="utf-8")

    assert from_folder({}, tmp_path).port == 9000


def test_a_folder_without_dotenv_is_fine(tmp_path: Path) -> None:
    assert from_folder({}, tmp_path).port == 8400


def test_a_dotenv_that_is_not_text_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"SYNC_SPACE=\xff")

    with pytest.raises(InvalidSettings, match=r"cannot be read: it is not UTF-8"):
        from_folder({}, tmp_path)


def test_all_faults_are_told_at_once_each_with_its_variable_and_what_was_expected() -> None:
    wrong = {"SYNC_PORT": "http", "SYNC_MOESIF_BATCH": "0", "SYNC_DATABASE_URL": "mysql://x", "SYNC_FORWARD_PAGES": "maybe"}

    store = "expected sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"

    with pytest.raises(SettingsError) as raised:
        read(wrong)

    assert str(raised.value).splitlines() == [
        "4 settings are wrong:",
        f"  SYNC_DATABASE_URL (environment): {store}; other databases and drivers are not supported",
        "  SYNC_PORT (environment): expected a whole number from 0 to 65535",
        "  SYNC_FORWARD_PAGES (environment): expected 0 or 1",
        "  SYNC_MOESIF_BATCH (environment): expected a whole number from 1 to 1000",
    ]
    assert raised.value.exit_code == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SYNC_PORT", "-1"),
        ("SYNC_PORT", "65536"),
        ("SYNC_PORT", "80.0"),
        ("SYNC_MOESIF_BATCH", "1001"),
        ("SYNC_MOESIF_CONNECTIONS", "0"),
        ("SYNC_MOESIF_CONNECTIONS", "33"),
        ("SYNC_MOESIF_RATE", "0.0"),
        ("SYNC_MOESIF_RATE", "nan"),
        ("SYNC_MOESIF_RATE", "-1"),
        ("SYNC_ALLOW_PLAIN_HTTP", "2"),
        ("SYNC_HOST", "http://x"),
        ("SYNC_HOST", "0.0.0.0:80"),
        ("SYNC_HOST", "two words"),
        ("SYNC_SPACE", "a/b"),
        ("SYNC_DEFINITIONS", "a\0b"),
        ("SYNC_API_TOKEN", "two words"),
        ("SYNC_MOESIF_APPLICATION_ID", "schlüssel"),
        ("SYNC_MOESIF_APPLICATION_ID", "a\nb"),
        ("SYNC_REQUEST_URI", "/relative"),
        ("SYNC_REQUEST_URI", "ftp://a.example"),
        ("SYNC_MOESIF_URL", "api.moesif.net"),
        ("SYNC_MOESIF_URL", "https://:443"),
        ("SYNC_MOESIF_URL", "https://api.moesif.net:port"),
        ("SYNC_MOESIF_URL", "https://user:pass@api.moesif.net"),
        ("SYNC_MOESIF_URL", "https://api.moesif.net/?a=1"),
        ("SYNC_MOESIF_URL", "https://api.moesif.net/#a"),
        ("SYNC_MOESIF_MANAGEMENT_URL", "https://[::1"),
        ("SYNC_MOESIF_URL", "https://api.moesif.net\\@example.com"),
        ("SYNC_MOESIF_URL", "https://0xa9fea9fe"),
    ],
)
def test_a_wrong_value_is_a_fault_that_says_what_was_expected_and_not_what_was_found(name: str, text: str) -> None:
    message = faults({name: text})[name]

    assert "expected" in message
    assert text not in message


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sqlite:///personas.db", "sqlite:///personas.db"),
        ("sqlite:////var/lib/personas.db", "sqlite:////var/lib/personas.db"),
        ("postgresql+psycopg://ann:p%40ss@db/personas", "postgresql+psycopg://ann:p%40ss@db/personas"),
        # What other programs write.
        ("postgresql://db/personas?sslmode=require", "postgresql+psycopg://db/personas?sslmode=require"),
        ("postgres://db:5432/personas", "postgresql+psycopg://db:5432/personas"),
    ],
)
def test_the_store_is_a_sqlite_file_or_postgresql_in_any_spelling(text: str, url: str) -> None:
    assert read({"SYNC_DATABASE_URL": text}).database_url == url


@pytest.mark.parametrize(
    "text",
    [
        "personas.db",
        "sqlite:personas.db",
        "sqlite://personas.db",
        "postgresql+psycopg2://db/x",
        "mysql://db/x",
        "postgres://db:x/y",
    ],
)
def test_any_other_store_is_refused(text: str) -> None:
    assert "expected" in faults({"SYNC_DATABASE_URL": text})["SYNC_DATABASE_URL"]


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_store_in_memory_is_refused_with_the_reason(text: str) -> None:
    assert "is forgotten at the end" in faults({"SYNC_DATABASE_URL": text})["SYNC_DATABASE_URL"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8500",
        "http://localhost:8500",
        "http://[::1]:8500",
        "https://api.example.com",
        "https://api.example.com/proxy",
    ],
)
def test_plain_http_to_this_machine_and_https_to_anywhere_are_allowed(url: str) -> None:
    assert read({"SYNC_MOESIF_URL": url + "/"}).moesif_url == url


def test_plain_http_to_another_machine_is_refused_for_both_urls() -> None:
    found = faults({"SYNC_MOESIF_URL": "http://moesif.example", "SYNC_MOESIF_MANAGEMENT_URL": "http://10.0.0.1"})

    assert found.keys() == {"SYNC_MOESIF_URL", "SYNC_MOESIF_MANAGEMENT_URL"}
    assert all("SYNC_ALLOW_PLAIN_HTTP=1" in message for message in found.values())


def test_plain_http_to_another_machine_can_be_allowed() -> None:
    settings = read({"SYNC_MOESIF_URL": "http://moesif.example", "SYNC_ALLOW_PLAIN_HTTP": "1"})

    assert settings.moesif_url == "http://moesif.example"


def test_write_keys_name_their_sources() -> None:
    settings = read({"SYNC_WRITE_KEYS": " web=abc== , server = def,\nios=ghi,"})

    assert are(settings.write_keys, web="abc==", server="def", ios="ghi")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "number 1 is not of that form"),
        ("web=a,=b", "number 2 is not of that form"),
        ("web=", "number 1 is not of that form"),
        # A colon ends the user name of Basic authentication.
        ("web=a:b", "number 1 is not of that form"),
        ("my site=a", "number 1 is not of that form"),
        (",", "expected name=key"),
        ("web=a,web=b", "two sources are called web"),
        ("web=a,server=a", "number 2 has the write key of another source"),
    ],
)
def test_wrong_write_keys_are_refused(text: str, message: str) -> None:
    assert message in faults({"SYNC_WRITE_KEYS": text})["SYNC_WRITE_KEYS"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_can_be_in_a_file(name: str, tmp_path: Path) -> None:
    text = {"SYNC_DATABASE_URL": "postgresql+psycopg://ann:hush@db/x", "SYNC_WRITE_KEYS": "web=hush"}.get(name, "hush")
    (tmp_path / "secret").write_text(text + "\n", encoding="utf-8")

    settings = read({f"{name}_FILE": str(tmp_path / "secret")})

    value = getattr(settings, name.removeprefix("SYNC_").lower())
    assert are(value, web="hush") if name == "SYNC_WRITE_KEYS" else is_told(value, text)
    assert settings.origins[name] == Origin.FILE


def test_a_secret_and_its_file_together_are_a_fault(tmp_path: Path) -> None:
    found = faults({"SYNC_API_TOKEN": "a"}, f"SYNC_API_TOKEN_FILE={tmp_path / 'secret'}\n")

    assert found == {"SYNC_API_TOKEN": "SYNC_API_TOKEN_FILE is set as well; keep one of the two"}


def test_a_secret_file_that_cannot_be_read_or_is_empty_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    found = faults(
        {
            "SYNC_API_TOKEN_FILE": str(tmp_path / "missing"),
            "SYNC_WRITE_KEYS_FILE": str(tmp_path / "empty"),
            "SYNC_MOESIF_APPLICATION_ID_FILE": str(tmp_path / "binary"),
            "SYNC_MOESIF_MANAGEMENT_KEY_FILE": str(tmp_path),
        }
    )

    assert "No such file" in found["SYNC_API_TOKEN_FILE"]
    assert found["SYNC_WRITE_KEYS_FILE"] == "the file is empty"
    assert "it is not text" in found["SYNC_MOESIF_APPLICATION_ID_FILE"]
    assert "expected the path of a file" in found["SYNC_MOESIF_MANAGEMENT_KEY_FILE"]


def test_a_wrong_secret_in_a_file_is_told_by_the_variable_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("two words", encoding="utf-8")

    assert faults({"SYNC_API_TOKEN_FILE": str(tmp_path / "secret")}).keys() == {"SYNC_API_TOKEN_FILE"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SYNC_DATABSE_URL", "SYNC_DATABASE_URL"),
        ("SYNC_PROT", "SYNC_PORT"),
        ("SYNC_MOESIF_APPLICATION_KEY", "SYNC_MOESIF_APPLICATION_ID"),
        ("SYNC_API_TOKEN_FIEL", "SYNC_API_TOKEN_FILE"),
    ],
)
def test_a_misspelt_variable_stops_the_program_and_names_the_right_one(name: str, meant: str) -> None:
    assert faults({name: "x"})[name] == f"there is no such setting; did you mean {meant}?"


def test_an_unknown_variable_that_may_be_another_programs_is_a_warning() -> None:
    settings = read({"SYNC_TEST_DATABASE_URL": "x", "SYNC_MOESIF_URL_FILE": "x", "OTHER": "x"}, "SYNC_API_KEY=x\n")

    assert settings.warnings == (
        "SYNC_API_KEY (.env): there is no such setting; the nearest is SYNC_API_TOKEN",
        "SYNC_MOESIF_URL_FILE (environment): there is no such setting; "
        "SYNC_MOESIF_URL is not a secret and cannot be read from a file",
        "SYNC_TEST_DATABASE_URL (environment): there is no such setting; the nearest is SYNC_DATABASE_URL",
    )


def test_no_secret_is_shown_anywhere() -> None:
    environ = {
        "SYNC_DATABASE_URL": "postgres://ann:hush@db/x?sslmode=require&sslpassword=hush",
        "SYNC_MOESIF_APPLICATION_ID": "hush",
        "SYNC_MOESIF_MANAGEMENT_KEY": "hush",
        "SYNC_WRITE_KEYS": "web=hush1,ios=hush2",
        "SYNC_API_TOKEN": "hush",
    }

    settings = read(environ)
    shown = {each.name: each.value for each in describe(settings)}

    assert "hush" not in repr(settings)
    assert "hush" not in str(shown)
    assert shown["SYNC_DATABASE_URL"] == "postgresql+psycopg://ann:***@db/x?sslmode=require&sslpassword=hidden"
    assert shown["SYNC_WRITE_KEYS"] == "web=***,ios=***"
    assert shown["SYNC_API_TOKEN"] == "***"


def test_what_is_shown_is_what_would_be_written() -> None:
    shown = {each.name: each for each in describe(read({"SYNC_MOESIF_RATE": "2.50", "SYNC_FORWARD_PAGES": "yes"}))}

    assert [each.name for each in shown.values()] == [variable.name for variable in VARIABLES]
    assert shown["SYNC_MOESIF_RATE"].value == "2.5"
    assert shown["SYNC_FORWARD_PAGES"].value == "1"
    assert shown["SYNC_API_TOKEN"].value is None
    assert shown["SYNC_DATABASE_URL"].value == "sqlite:///personas.db"
    assert (shown["SYNC_PORT"].value, shown["SYNC_PORT"].origin) == ("8400", Origin.DEFAULT)


def test_a_secret_that_is_wrong_is_not_repeated() -> None:
    with pytest.raises(InvalidSettings) as raised:
        read({"SYNC_PORT": "hush", "SYNC_API_TOKEN": "hush hush", "SYNC_DATABASE_URL": "mysql://ann:hush@db/x"})

    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("a.example", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(name: str, loopback: bool) -> None:
    assert is_loopback(name) == loopback


@pytest.mark.parametrize(
    ("text", "span", "shown"),
    [
        ("400 days", timedelta(days=400), "400 days"),
        ("1 day", timedelta(days=1), "1 day"),
        ("36 hours", timedelta(hours=36), "36 hours"),
        ("48 Hours", timedelta(days=2), "2 days"),
        ("1 hour", timedelta(hours=1), "1 hour"),
        ("12weeks", timedelta(weeks=12), "84 days"),
        ("2 years", timedelta(days=730), "730 days"),
        ("36500 days", timedelta(days=36_500), "36500 days"),
    ],
)
def test_a_retention_is_a_duration_and_is_shown_as_it_can_be_written(text: str, span: timedelta, shown: str) -> None:
    settings = read({"SYNC_RETAIN_EVENTS": text})

    assert settings.retain_events == span
    assert next(each.value for each in describe(settings) if each.name == "SYNC_RETAIN_EVENTS") == shown
    assert read({"SYNC_RETAIN_EVENTS": shown}).retain_events == span


@pytest.mark.parametrize(
    "text", ["400", "days", "0 days", "-1 days", "1.5 days", "5 minutes", "101 years", "9999999 days", "a day"]
)
def test_what_is_no_such_duration_is_refused(text: str) -> None:
    for name in ("SYNC_RETAIN_EVENTS", "SYNC_RETAIN_CHANGES", "SYNC_RETAIN_REJECTED_CALLS"):
        assert "400 days" in faults({name: text})[name]


@pytest.mark.parametrize(
    ("text", "span", "shown"),
    [
        ("90 seconds", timedelta(seconds=90), "90 seconds"),
        ("1 minute", timedelta(minutes=1), "1 minute"),
        ("120 Minutes", timedelta(hours=2), "2 hours"),
        ("24 hours", timedelta(days=1), "1 day"),
    ],
)
def test_a_timeout_is_a_shorter_duration_and_is_shown_as_it_can_be_written(text: str, span: timedelta, shown: str) -> None:
    settings = read({"SYNC_RUN_TIMEOUT": text})

    assert settings.run_timeout == span
    assert next(each.value for each in describe(settings) if each.name == "SYNC_RUN_TIMEOUT") == shown
    assert read({"SYNC_RUN_TIMEOUT": shown}).run_timeout == span


@pytest.mark.parametrize("text", ["30", "0 seconds", "-1 minutes", "1.5 hours", "25 hours", "2 days", "1 week"])
def test_what_is_no_such_timeout_is_refused(text: str) -> None:
    assert "30 minutes" in faults({"SYNC_RUN_TIMEOUT": text})["SYNC_RUN_TIMEOUT"]


def test_without_a_retention_everything_is_kept_for_ever() -> None:
    settings = read({})

    assert (settings.retain_events, settings.retain_changes, settings.retain_rejected_calls) == (None, None, None)
