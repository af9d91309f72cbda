"""The program: which commands there are, in which order its help lists them, and what becomes of errors.

Every error that a user can mend becomes one sentence (or one list) on standard error and the exit code of its class; any other is a
fault of ours, shown with the places in the code and never with values, which may be somebody's data.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from types import FrameType
from typing import Annotated, Any, Final

import typer

from sync.cli import (
    audiences,
    begin,
    calls,
    definitions,
    deliveries,
    doctor,
    explaining,
    forgetting,
    members,
    planning,
    processes,
    purging,
    syncing,
    types,
)
from sync.cli.help import Commands, Listing, OneCommand, epilog
from sync.cli.logs import log_to_stderr
from sync.cli.output import note
from sync.errors import SyncError

INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 141
TERMINATED: Final = 143
"""What a shell calls a program that SIGINT, SIGPIPE or SIGTERM ended."""
CANNOT_WRITE: Final = 74
OUR_FAULT: Final = 70
"""`EX_IOERR` and `EX_SOFTWARE` of sysexits.h: none of the codes that say something about the user's input or data."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command and examples of its use. Its help is the docstring of what it calls."""

    name: str
    run: Callable[..., object]
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Commands that share a first word."""

    name: str
    help: str
    commands: tuple[Command, ...]
    lists: bool = False
    """Whether its command `list` is meant where none is named."""


SECTIONS: Final[dict[str, tuple[Command | Group, ...]]] = {
    "To begin": (
        Command("demo", begin.demo, ("personas-sync demo", "personas-sync demo --serve")),
        Command("init", begin.init, ("mkdir audiences && cd audiences && personas-sync init",)),
        Command("config", begin.config, ("personas-sync config", "SYNC_PORT=9000 personas-sync config --json")),
        Command("doctor", doctor.doctor, ("personas-sync doctor", "personas-sync doctor --json")),
        Group(
            "db",
            "The store's tables: make them, bring them up to date, look whether they are.",
            (
                Command("upgrade", begin.db_upgrade, ("personas-sync db upgrade",)),
                Command("downgrade", begin.db_downgrade, ("personas-sync db downgrade", "personas-sync db downgrade --to 0007")),
                Command("check", begin.db_check, ("personas-sync db check", "personas-sync db check --json")),
            ),
        ),
    ),
    "Calls": (
        Command("serve", processes.serve, ("personas-sync serve", "personas-sync serve --only web --host 0.0.0.0 --port 8400")),
        Command("import", calls.import_, ("personas-sync import history.jsonl.gz", "zcat *.gz | personas-sync import - --json")),
        Command("replay", calls.replay, ("personas-sync replay --since 2026-03-01 --event 'Order Completed'",)),
        Command(
            "rejected-calls",
            calls.rejected,
            ("personas-sync rejected-calls", "personas-sync rejected-calls --code id_required --json"),
        ),
        Command("stand-in", processes.stand_in, ("personas-sync stand-in", "personas-sync stand-in --port 8501 --type-lock")),
    ),
    "Audiences": (
        Group(
            "definitions",
            "The definitions file: check it, put it in force.",
            (
                Command(
                    "check", definitions.check, ("personas-sync definitions check", "personas-sync definitions check new.yaml")
                ),
                Command("schema", definitions.schema, ("personas-sync definitions schema > personas.schema.json",)),
                Command("apply", definitions.apply, ("personas-sync definitions apply", "personas-sync definitions apply --yes")),
            ),
        ),
        Command("preview", audiences.preview, ("personas-sync preview \"event('Order Completed').count() >= 3\"",)),
        Command("audiences", audiences.audiences, ("personas-sync audiences", "personas-sync audiences --json")),
        Group(
            "audience",
            "One audience or computed trait.",
            (Command("show", audiences.show, ("personas-sync audience show big_spender",)),),
        ),
        Command("members", members.members, ("personas-sync members big_spender --at 2026-01-01 --json",)),
        Command("user", members.user, ("personas-sync user ann", "personas-sync user ann --json")),
        Command(
            "explain",
            explaining.explain,
            ("personas-sync explain big_spender ann", "personas-sync explain big_spender ann --at 2026-01-01 --json"),
        ),
    ),
    "Moesif": (
        Command("plan", planning.plan, ("personas-sync plan", "personas-sync plan big_spender --out tonight.plan")),
        Command("compute", syncing.compute, ("personas-sync compute", "personas-sync compute big_spender --at 2026-03-01")),
        Command(
            "sync",
            syncing.sync,
            (
                "personas-sync sync",
                "personas-sync sync big_spender --at 2026-03-01T00:00:00Z --json",
                "personas-sync sync --resync",
                "personas-sync sync --plan tonight.plan",
                "personas-sync sync --accept 17",
            ),
        ),
        Command("runs", deliveries.runs, ("personas-sync runs", "personas-sync runs big_spender --limit 5 --json")),
        Group(
            "deliveries",
            "What is owed to Moesif, what was rejected and why; alone, the same as `deliveries list`.",
            (
                Command(
                    "list", deliveries.listing, ("personas-sync deliveries", "personas-sync deliveries --state rejected --json")
                ),
                Command("show", deliveries.show, ("personas-sync deliveries show call-17",)),
                Command(
                    "retry",
                    deliveries.retry,
                    (
                        "personas-sync deliveries retry call-17 call-20..99 ledger-3-42",
                        "personas-sync deliveries retry --reason '400 Bad Request'",
                    ),
                ),
            ),
            lists=True,
        ),
        Group(
            "types",
            "The JSON types that Moesif holds metadata keys to; alone, the same as `types list`.",
            (
                Command("list", types.listing, ("personas-sync types", "personas-sync types --lane users --json")),
                Command("forget", types.forget, ("personas-sync types forget users address.zip",)),
            ),
            lists=True,
        ),
    ),
    "Privacy": (
        Command("forget", forgetting.forget, ("personas-sync forget ann", "personas-sync forget ann --in-moesif --yes --json")),
        Command("purge", purging.purge, ("personas-sync purge --dry-run", "SYNC_RETAIN_CHANGES='400 days' personas-sync purge")),
    ),
}
"""In the order of the help."""


ELSEWHERE: Final = {
    "backfill": ("replay", "sync --resync"),
    "delete": ("forget",),
    "diff": ("plan",),
    "export": ("members",),
    "migrate": ("db upgrade",),
    "push": ("sync",),
    "run": ("sync", "serve"),
    "start": ("serve",),
    "status": ("doctor", "runs"),
    "validate": ("definitions check",),
    "worker": ("serve --only worker",),
}
"""What other programs call what commands of ours do."""


BEGINNING: Final = (
    "personas-sync demo",
    "personas-sync init && personas-sync db upgrade && personas-sync serve",
    "personas-sync import history.jsonl && personas-sync sync",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments, or else the command line, name; always ends in SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A name that the terminal cannot write is shown as escapes, and stops nothing.
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not all(_is_text(argument) for argument in given):
        note("personas-sync: the command line must be UTF-8")
        raise SystemExit(2)
    program()(given, prog_name="personas-sync")


def _is_text(argument: str) -> bool:
    # Bytes that are no UTF-8 come as lone surrogates.
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def program() -> typer.Typer:
    """Return the program with all its commands."""
    made = _group("Keep Moesif up to date with who is in which audience, and send only what changed.", Program, BEGINNING)
    made.callback()(_program)
    for entries in SECTIONS.values():
        for entry in entries:
            _add(made, entry)
    return made


def _version(wanted: bool) -> None:
    if wanted:
        from sync import __version__

        sys.stdout.write(f"personas-sync {__version__}\n")
        raise typer.Exit


def _program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Keep Moesif up to date with who is in which audience, and send only what changed."""


def _group(help: str, kind: type[Commands], examples: Sequence[str]) -> typer.Typer:
    return typer.Typer(
        help=help,
        epilog=epilog(examples),
        cls=kind,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _add(to: typer.Typer, entry: Command | Group) -> None:
    if isinstance(entry, Command):
        to.command(entry.name, cls=OneCommand, epilog=epilog(entry.examples))(entry.run)
        return
    examples = [command.examples[0] for command in entry.commands]
    inner = _group(entry.help, Listing if entry.lists else Commands, examples)
    inner.callback()(lambda: None)
    for command in entry.commands:
        _add(inner, command)
    to.add_typer(inner, name=entry.name, help=entry.help)


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


class Program(Commands):
    """The root: lists the commands by section, and ends every one of them with the right exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order of the sections."""
        return [name for names in self.sections(ctx).values() for name in names]

    def sections(self, ctx: Any) -> dict[str, list[str]]:
        """Return the names of the commands, by what one does with them."""
        return {title: [entry.name for entry in entries] for title, entries in SECTIONS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; where there is none of that name, say which ones may be meant."""
        meant = _meant(args[0])
        if meant and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command '{args[0]}'. Did you mean {' or '.join(map(repr, meant))}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what goes wrong becomes a message and an exit code."""
        log_to_stderr(logging.WARNING)
        # As Ctrl-C does: what is underway ends, and what was claimed is given back.
        before = signal.signal(signal.SIGTERM, _terminate)
        try:
            code = _ended(lambda: super(Program, self).invoke(ctx))
        finally:
            signal.signal(signal.SIGTERM, before)
        if code:
            raise SystemExit(code)


def _meant(word: str) -> list[str]:
    """Return the commands that somebody may mean by a word that is none; typer itself knows those whose names are nearly it."""
    groups = [entry for entries in SECTIONS.values() for entry in entries if isinstance(entry, Group)]
    return [f"{group.name} {one.name}" for group in groups for one in group.commands if one.name == word] + [
        *ELSEWHERE.get(word, ())
    ]


def _ended(work: Callable[[], object]) -> int:
    """Do the work and return the exit code; usage errors are typer's own and go on."""
    try:
        work()
        sys.stdout.flush()
    except SyncError as error:
        return _refused(error)
    except (KeyboardInterrupt, typer.Abort) as reason:
        return _interrupted(reason)
    except BrokenPipeError:
        _forget_output()
        return CLOSED_PIPE
    except typer.Exit as end:
        return _flushed(end.exit_code)
    except OSError as error:
        _forget_output()
        note(f"personas-sync: {error.strerror or type(error).__name__}{f': {error.filename}' if error.filename else ''}")
        return CANNOT_WRITE
    except Exception as error:
        # Typer's own errors, about how it was called, bring their message and their code along.
        if hasattr(error, "exit_code") and hasattr(error, "show"):
            raise
        # What a driver says that was interrupted in the middle, and could not clean up, is no fault of its own.
        if isinstance(error.__context__, KeyboardInterrupt):
            return _interrupted(error.__context__)
        return _our_fault(error)
    return 0


def _interrupted(reason: BaseException) -> int:
    _forget_output()
    note("personas-sync: interrupted; nothing is lost")
    return TERMINATED if isinstance(reason, Terminated) else INTERRUPTED


def _flushed(code: int) -> int:
    """Write out what is still on its way; a reader that has gone is no reason to forget the code."""
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()
    return code


def _refused(error: SyncError) -> int:
    _flushed(0)
    lines = [str(error)]
    caret = getattr(error, "caret", None)
    if callable(caret) and (shown := str(caret())).strip(" ^\n"):
        lines += [f"  {line}" for line in shown.split("\n")]
    note("personas-sync: " + "\n".join(lines))
    return error.exit_code


def _our_fault(error: Exception) -> int:
    _flushed(0)
    note(f"personas-sync: this is a fault of personas-sync, please report it with these lines: {type(error).__name__}")
    for frame in traceback.extract_tb(error.__traceback__)[-6:]:
        note(f"  {frame.filename}:{frame.lineno} in {frame.name}")
    return OUR_FAULT


def _forget_output() -> None:
    """Let whatever is still to be written go nowhere, so that the interpreter does not stumble over it at its end."""
    # Where standard output is no file, as in a test, there is nothing to redirect.
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
