"""The one error of a query: where it is, what was found, what was expected."""

from __future__ import annotations

from sync.errors import InputError
from sync.language.tree import Position


class InvalidQuery(InputError):
    """A query is not one of the language. The first line and the first column are 1."""

    def __init__(self, message: str, at: Position, *, text: str = "", expected: tuple[str, ...] = ()) -> None:
        self.message = message
        self.line = at.line
        self.column = at.column
        self.text = text
        self.expected = expected
        super().__init__(message, at)

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.explanation}"

    @property
    def explanation(self) -> str:
        """Say what is wrong and what would be right, without the place."""
        return f"{self.message}; expected {alternatives(self.expected)}" if self.expected else self.message

    def caret(self) -> str:
        """Show the line, with a `^` under the place."""
        lines = self.text.split("\n")
        line = lines[self.line - 1].rstrip("\r") if self.line <= len(lines) else ""
        # Tabs stay tabs, so that the caret stands where the terminal puts the character.
        indent = "".join("\t" if character == "\t" else " " for character in line[: self.column - 1])
        return f"{line}\n{indent}^"


def alternatives(names: tuple[str, ...]) -> str:
    """Join names as a sentence does: `a, b or c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
