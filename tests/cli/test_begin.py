"""The commands with which one begins."""

from __future__ import annotations

from typing import Any

import pytest

from sync.store import migrate


def test_init_writes_two_files_and_leaves_them_alone_the_second_time(bare: Any) -> None:
    first = bare("init")
    bare.write("personas.yaml", "mine")

    second = bare("init")

    assert first.lines[:2] == ["wrote personas.yaml", "wrote .env.example"]
    assert second.lines == ["kept personas.yaml, which was here already", "kept .env.example, which was here already"]
    assert (bare.folder / "personas.yaml").read_text() == "mine"


def test_what_init_writes_has_no_faults(bare: Any) -> None:
    bare("init")

    assert bare("definitions", "check").code == 0


def test_config_shows_every_setting_with_its_origin_and_no_secret(bare: Any) -> None:
    bare.write(".env", "SYNC_PORT=9000\n")
    bare.environ["SYNC_MOESIF_APPLICATION_ID"] = "very-secret"

    shown = {one["name"]: one for one in bare("config", "--json").json["settings"]}

    assert (shown["SYNC_PORT"]["value"], shown["SYNC_PORT"]["origin"]) == ("9000", ".env")
    assert shown["SYNC_MOESIF_APPLICATION_ID"]["value"] == "***"
    assert shown["SYNC_HOST"]["origin"] == "default"


def test_config_reads_in_80_columns_without_colour(bare: Any) -> None:
    done = bare("config")

    assert max(map(len, done.lines)) <= 80
    assert "\x1b" not in done.out
    assert "sqlite:///personas.db" in done.out


def test_db_upgrade_makes_the_tables_once(bare: Any) -> None:
    before = bare("db", "check", "--json")
    made = bare("db", "upgrade")
    again = bare("db", "upgrade")

    assert (before.code, before.json["current"]) == (5, False)
    assert "is now at revision" in made.out
    assert "was up to date already" in again.out
    assert bare("db", "check", "--json").json["current"] is True


def test_a_store_of_a_newer_program_is_left_alone(line: Any) -> None:
    from sync.store import Store

    store = Store.at(line.environ["SYNC_DATABASE_URL"])
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.close()

    upgrade, check, any_other = line("db", "upgrade"), line("db", "check"), line("audiences")

    assert {done.code for done in (upgrade, check, any_other)} == {5}
    assert all("install a newer personas-sync" in done.err for done in (upgrade, check, any_other))


def test_db_downgrade_goes_back_by_one_or_to_a_revision_and_db_upgrade_comes_again(line: Any) -> None:
    *_, older, newest = migrate.revisions()

    by_one = line("db", "downgrade")
    refused = line("db", "downgrade")
    line("db", "upgrade")
    far = line("db", "downgrade", "--to", "0003", "--json")

    assert (by_one.code, f"is now at revision {older}" in by_one.out) == (0, True)
    assert (refused.code, "db upgrade" in refused.err) == (5, True)
    assert (far.json["before"], far.json["revision"]) == (newest, "0003")
    assert line("db", "upgrade").code == 0


@pytest.mark.parametrize("revision", ["0000", "base", "head", "-1", "9999", ""])
def test_db_downgrade_knows_older_revisions_only(sqlite_line: Any, revision: str) -> None:
    done = sqlite_line("db", "downgrade", f"--to={revision}")

    assert (done.code, "one of the revisions before" in done.err) == (2, True)
    assert sqlite_line("db", "check").code == 0
