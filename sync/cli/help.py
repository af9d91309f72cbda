"""What `--help` prints: drawn here, so that it reads the same whatever typer's release.

Knows typer's commands and their parameters. Does not know which commands there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup


def epilog(examples: Sequence[str]) -> str:
    """Return the examples of a command, as they stand at the end of its help."""
    # The first character keeps typer from joining the lines.
    return "\n".join(["\b", "Example:" if len(examples) == 1 else "Examples:", *(f"  {example}" for example in examples)])


class OneCommand(TyperCommand):
    """A command."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write how it is called."""
        arguments = [_shown(param) for param in self.get_params(ctx) if param.param_type_name == "argument"]
        formatter.write_usage(ctx.command_path, " ".join(["[OPTIONS]", *arguments]))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        _write_parameters(self.get_params(ctx), formatter)


class Commands(TyperGroup):
    """A group; its help shows the whole first line of each command's."""

    def sections(self, ctx: Any) -> dict[str, list[str]]:
        """Return the names of the commands, by the title under which they stand."""
        return {"Commands": self.list_commands(ctx)}

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write how it is called."""
        formatter.write_usage(ctx.command_path, "COMMAND ...")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write options and commands."""
        _write_parameters(self.get_params(ctx), formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, section by section."""
        width = max(len(name) for name in self.list_commands(ctx))
        for title, names in self.sections(ctx).items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), self._first_line(ctx, name)) for name in names])

    def _first_line(self, ctx: Any, name: str) -> str:
        command = self.get_command(ctx, name)
        return "" if command is None else (command.help or "").partition("\n")[0]


class Listing(Commands):
    """A group whose command `list` is meant where none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` where no command stands."""
        asks_for_help = args[:1] in (["-h"], ["--help"])
        if not asks_for_help and (not args or args[0].startswith("-")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _write_parameters(params: Sequence[Any], formatter: Any) -> None:
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        rows = [(_shown(param), _help(param)) for param in params if param.param_type_name == kind]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def _shown(param: Any) -> str:
    """Write a parameter as one types it."""
    if param.param_type_name == "argument":
        name = param.metavar or param.name.upper()
        return (name if param.required else f"[{name}]") + ("..." if param.nargs != 1 else "")
    names = ", ".join(sorted(param.opts, key=len))
    return names if param.is_flag else f"{names} {param.metavar or param.name.upper()}"


def _help(param: Any) -> str:
    return "Show this help." if param.name == "help" else param.help or ""
