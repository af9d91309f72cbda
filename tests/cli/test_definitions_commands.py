"""definitions check, schema, apply."""

from __future__ import annotations

import json
from typing import Any

FAULTY = """\
audiences:
  - name: Big Spenders
    query: event('Order'
  - name: $$$
    query: trait('plan') = 'pro'
"""


def test_check_lists_every_fault_with_its_place(bare: Any) -> None:
    bare.write("personas.yaml", FAULTY)

    done = bare("definitions", "check")

    assert done.code == 2
    assert [line.split(": ")[0] for line in done.lines] == ["personas.yaml:3:25", "personas.yaml:4:11"]


def test_check_reports_faults_as_json(bare: Any) -> None:
    bare.write("other.yaml", FAULTY)

    done = bare("definitions", "check", "other.yaml", "--json")

    assert done.code == 2
    assert [(fault["file"], fault["line"]) for fault in done.json["faults"]] == [("other.yaml", 3), ("other.yaml", 4)]
    assert set(done.json["faults"][0]) == {"file", "line", "column", "message"}


def test_check_of_a_good_file_says_how_much_it_found(sqlite_line: Any) -> None:
    assert sqlite_line("definitions", "check").out == "no faults in 2 definitions\n"
    assert sqlite_line("definitions", "check", "--json").json["faults"] == []


def test_schema_is_a_json_schema(bare: Any) -> None:
    assert "audiences" in json.loads(bare("definitions", "schema").out)["properties"]


def test_apply_shows_what_changes_and_goes_ahead_in_a_pipe(sqlite_line: Any) -> None:
    first = sqlite_line("definitions", "apply")
    sqlite_line.write("personas.yaml", "audiences: [{name: Buyers, query: \"trait('a') = 1\", schedule: manual}]\n")
    second = sqlite_line("definitions", "apply", "--json")
    third = sqlite_line("definitions", "apply")

    assert first.lines == ["+ buyers (new)", "+ orders (new)", "applied"]
    assert second.json == {"added": [], "changed": [{"key": "buyers", "fields": ["query"]}], "retired": ["orders"]}
    assert third.lines == ["nothing to change"]


def test_apply_of_a_faulty_file_changes_nothing(sqlite_line: Any) -> None:
    sqlite_line("definitions", "apply")
    sqlite_line.write("personas.yaml", FAULTY)

    done = sqlite_line("definitions", "apply")

    assert (done.code, done.out) == (2, "")
    assert "personas.yaml:3:25" in done.err
    assert len(sqlite_line("audiences", "--json").json["audiences"]) == 2
