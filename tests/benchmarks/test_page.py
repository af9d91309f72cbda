"""The page of results: the same for the same results, and without a time where a tool was wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import main
from benchmarks.machine import ROOT

DOCS = ROOT / "docs"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of the results that the repository holds, of the comparison only."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for file in (DOCS / "benchmarks").glob("peers-*.json"):
        shutil.copy(file, folder)
    return folder


def report(results: Path, page: Path) -> str:
    assert main(["report", "--results", str(results), "--page", str(page)]) == 0
    return page.read_text(encoding="utf-8")


def test_the_page_is_what_the_results_beside_it_give(tmp_path, capsys) -> None:
    copy = tmp_path / "benchmarks"
    shutil.copytree(DOCS / "benchmarks", copy)

    assert report(copy, tmp_path / "page.md") == (DOCS / "benchmarks.md").read_text(encoding="utf-8")

    for file in sorted(copy.iterdir()):
        assert file.read_bytes() == (DOCS / "benchmarks" / file.name).read_bytes(), file.name


def test_results_of_one_benchmark_about_several_things_are_told_apart(tmp_path, capsys) -> None:
    told = json.loads((DOCS / "benchmarks" / "compute-sqlite-1000000.json").read_text(encoding="utf-8"))
    for subject in ("ordered", "revenue"):
        (tmp_path / f"compute-{subject}-1.json").write_text(json.dumps(told | {"subject": subject}), encoding="utf-8")

    headings = [line.partition(":")[0] for line in report(tmp_path, tmp_path / "page.md").splitlines() if line.startswith("## ")]

    assert headings == ["## compute (ordered), sqlite", "## compute (revenue), sqlite"]


def test_where_a_tool_was_wrong_no_time_is_given(results, tmp_path, capsys) -> None:
    file, *others = sorted(results.glob("*.json"))
    for other in others:
        other.unlink()
    told = json.loads(file.read_text(encoding="utf-8"))
    row = next(row for row in told["tables"]["syncs"] if (row["scene"], row["tool"]) == ("first push", "script"))
    row |= {"wrong": 7, "seconds": None, "cpu_seconds": None, "server_seconds": None, "standin_seconds": None, "peak_mib": None}
    file.write_text(json.dumps(told), encoding="utf-8")

    page = report(results, tmp_path / "page.md")

    line = next(line for line in page.splitlines() if line.startswith("| first push | script |"))
    assert line.split(" | ")[4:7] == ["wrong", "wrong", "wrong"]
    assert "7 users wrong" in (results / f"{file.stem}-equal.svg").read_text(encoding="utf-8")


def test_a_plot_has_a_bar_or_a_word_for_each_tool_in_each_scene(results, tmp_path, capsys) -> None:
    report(results, tmp_path / "page.md")

    for plot in results.glob("*.svg"):
        drawn = ElementTree.fromstring(plot.read_text(encoding="utf-8"))
        words = [text.text or "" for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert {"personas-sync", "script", "first push"} <= set(words)
        assert max(float(one.get("x", 0)) for one in drawn.iter("{http://www.w3.org/2000/svg}text")) < 760
