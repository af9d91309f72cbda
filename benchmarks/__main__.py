"""The command: `python -m benchmarks list`, `python -m benchmarks run NAME …`.

A run ends with 1 where an answer is wrong, and then gives no figures, or where a must does not hold, and then gives all of them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from benchmarks import compute, databases, delivery, ingest, pages, peers, plans, reader, start
from benchmarks.machine import ROOT, machine, versions
from benchmarks.peers import page
from benchmarks.report import Report, Wrong
from sync.app import system_clock

BENCHMARKS: Final[dict[str, ModuleType]] = {
    "compute": compute,
    "delivery": delivery,
    "ingest": ingest,
    "peers": peers,
    "plans": plans,
    "reader": reader,
    "start": start,
}
"""By name; each has `add_flags` and `run`, and its docstring says what it measures."""


def main(words: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(words)
    if arguments.command == "list":
        _list(as_json=arguments.json)
        return 0
    if arguments.command == "report":
        _report(arguments)
        return 0
    try:
        told, report = _run(arguments, shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if words is None else words)]))
    except Wrong as wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
        return 1
    whole = json.dumps(told, indent=2, ensure_ascii=False)
    if arguments.into is not None:
        arguments.into.write_text(f"{whole}\n", encoding="utf-8")
    if arguments.json:
        print(whole)
    else:
        print(_head(told), report.as_text(), sep="\n\n")
    sys.stdout.flush()
    missed = report.missed()
    print(*missed, sep="\n", end="\n" if missed else "", file=sys.stderr)
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures personas-sync on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="what there is to run")
    listing.add_argument("--json", action="store_true")
    names = commands.add_parser("run", help="run one of them").add_subparsers(dest="name", required=True, metavar="NAME")
    for name, module in BENCHMARKS.items():
        one = names.add_parser(name, help=_summary(module), description=module.__doc__, formatter_class=_AsWritten)
        databases.add_flags(one)
        module.add_flags(one)
        one.add_argument("--json", action="store_true", help="everything, for programs")
        one.add_argument("--into", metavar="FILE", type=Path, help="write everything to a file, too, for `report`")
    report = commands.add_parser("report", help="write the page of results and its plots, from what `run --into` wrote")
    report.add_argument("--results", metavar="FOLDER", type=Path, default=ROOT / "docs" / "benchmarks")
    report.add_argument("--page", metavar="FILE", type=Path, default=ROOT / "docs" / "benchmarks.md")
    return parser


class _AsWritten(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Leaves a docstring as it is."""


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]


def _list(*, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"name": name, "measures": _summary(module)} for name, module in BENCHMARKS.items()]))
    else:
        print(*(f"{name:<10}{_summary(module)}" for name, module in BENCHMARKS.items()), sep="\n")


def _report(arguments: argparse.Namespace) -> None:
    for written in pages.write(arguments.results, arguments.page, {"peers": page.show}):
        print(written)


def _run(arguments: argparse.Namespace, command: str) -> tuple[dict[str, Any], Report]:
    began, on = system_clock(), machine()
    if arguments.url:
        # It may hold a password.
        arguments.database, command = databases.POSTGRESQL, command.replace(arguments.url, "URL")
    with databases.databases(arguments.database, arguments.url, arguments.folder, arguments.keep) as urls:
        found = _versions(urls)
        report: Report = BENCHMARKS[arguments.name].run(arguments, urls)
    head = {"benchmark": arguments.name, "database": arguments.database, "command": command}
    told = {**head, "date": began.isoformat(timespec="seconds"), "machine": on, "versions": found, **report.as_json()}
    return told, report


def _versions(urls: Iterator[str]) -> dict[str, Any]:
    with databases.opened(next(urls)) as store:
        return versions(store)


def _head(told: dict[str, Any]) -> str:
    on, installed = told["machine"], told["versions"]
    shown = ", ".join(f"{name} {value}" for name, value in installed.items() if isinstance(value, str))
    cores = f"{on['cores']} cores, {on['memory_gib']} GiB, {on['cpu']}, {on['system']}, load {on['load_before']}"
    return "\n".join([told["command"], f"{told['date']}; {cores}", shown])


if __name__ == "__main__":
    sys.exit(main())
