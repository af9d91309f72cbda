"""The text of a definitions file, and YAML as far as we allow it.

Knows bytes, lines, YAML nodes and where each character of a value stands in the file. Does not know what a definition is. YAML is
only composed, never constructed: no tag makes an object, and an alias costs nothing until somebody walks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import yaml

from sync.audience import Place
from sync.definitions.faults import Fault

LARGEST: Final = 5_000_000
"""Bytes in a file, at most."""

DEEPEST: Final = 20
MOST_ALIASES: Final = 100

_ADVICE: Final = (
    (r"'\\t'", "indent with spaces, not with tabs"),
    (r"alias", "a value that begins with * needs quotes"),
    (r"mapping values are not allowed", "a value with a colon in it needs quotes, and indentation must agree"),
    (r"found another document", "delete the `---`"),
    (r"found character '[@`%]'", "a value that begins with this character needs quotes"),
    (r"quoted scalar", "a quotation mark is not closed"),
)


class Source:
    """One file: its name and its text by lines."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text.removeprefix("\ufeff")
        self.lines: Sequence[str] = self.text.splitlines()

    def place(self, node: yaml.Node) -> Place:
        """Return where a node begins."""
        return self._marked(node.start_mark)

    def place_within(self, node: yaml.ScalarNode, line: int, column: int) -> Place:
        """Return where a character of a scalar's value stands in the file.

        `line` and `column` count from 1 in the value. What stands after the last character is placed just behind it. White space,
        which YAML folds, strips and indents, is not counted: a blank leads to the character after it.
        """
        before = node.value.split("\n")[: line - 1]
        here = node.value.split("\n")[line - 1 : line]
        skipped = sum(not char.isspace() for char in "".join(before) + "".join(here)[: column - 1])
        places = list(islice(_characters(self.lines, node), skipped + 1))
        if not places:
            return self.place(node)
        at_line, at_column = places[-1]
        behind = len(places) <= skipped
        return Place(file=self.name, line=at_line + 1, column=at_column + 1 + behind)

    def compose(self) -> tuple[yaml.Node | None, Fault | None]:
        """Return the root of the document, None where there is none, or the fault that stops YAML from being read."""
        try:
            return yaml.compose(self.text, _Loader), None
        except yaml.reader.ReaderError as error:
            before = self.text[: error.position]
            line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
            return None, self._fault(line, column, f"the character U+{int(error.character):04X} may not stand in YAML; delete it")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            return None, self._fault(mark.line if mark else 0, mark.column if mark else 0, _explained(error))

    def _marked(self, mark: yaml.Mark) -> Place:
        return Place(file=self.name, line=mark.line + 1, column=mark.column + 1)

    def _fault(self, line: int, column: int, message: str) -> Fault:
        return Fault(file=self.name, line=line + 1, column=column + 1, message=message)


def source_of(name: str, content: str | bytes) -> Source | Fault:
    """Return a file's text, or the fault that keeps it from being text: too large, or not UTF-8."""
    if len(content) > LARGEST:
        return Fault(file=name, line=1, column=1, message=f"the file is larger than {LARGEST // 1_000_000} MB; split it")
    if isinstance(content, str):
        return Source(name, content)
    try:
        return Source(name, content.decode())
    except UnicodeDecodeError as error:
        good = content[: error.start].decode()
        line, column = good.count("\n") + 1, len(good) - good.rfind("\n")
        return Fault(file=name, line=line, column=column, message="this is not UTF-8; save the file as UTF-8")


def _explained(error: yaml.MarkedYAMLError) -> str:
    what = ": ".join(part for part in (error.context, error.problem) if part)
    advice = next((advice for pattern, advice in _ADVICE if re.search(pattern, what)), "")
    return f"this is not YAML: {what}" + (f"; {advice}" if advice else "")


class _Loader(yaml.SafeLoader):
    """Composes nodes, within bounds."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._aliases += self.check_event(yaml.AliasEvent)
        if self._aliases > MOST_ALIASES:
            raise self._refusal(f"more than {MOST_ALIASES} aliases")
        if self._depth > DEEPEST:
            raise self._refusal(f"nested more than {DEEPEST} deep")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refusal(self, what: str) -> yaml.MarkedYAMLError:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs say nothing about it
        return yaml.composer.ComposerError(None, None, what, event.start_mark)


_PROPERTIES: Final = re.compile(r"(?:[!&]\S*\s+)*")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.)|$)")
_BLANK_ESCAPES: Final = frozenset("tnvfr NL_P\t")


def _characters(lines: Sequence[str], node: yaml.ScalarNode) -> Iterator[tuple[int, int]]:
    """Yield the line and column, from 0, of every character of a scalar's value that is not white space."""
    first, column = node.start_mark.line, node.start_mark.column
    if found := _PROPERTIES.match(lines[first], column):
        column = found.end()
    if node.style in ("|", ">"):
        first, column = first + 1, 0
    elif node.style:
        column += 1
    for number in range(first, min(node.end_mark.line + 1, len(lines))):
        text = lines[number]
        stop = node.end_mark.column if number == node.end_mark.line else len(text)
        yield from ((number, at) for at in _written(text, column if number == first else 0, stop, node.style))


def _written(text: str, column: int, stop: int, style: str | None) -> Iterator[int]:
    """Yield the columns at which one line writes a character, escapes at their beginning."""
    while column < stop:
        length, blank = 1, text[column].isspace()
        if style == '"' and (escape := _ESCAPE.match(text, column)):
            length, blank = len(escape[0]), _is_blank(escape)
        elif style == "'" and text.startswith("''", column):
            length = 2
        if not blank:
            yield column
        column += length


def _is_blank(escape: re.Match[str]) -> bool:
    code = escape[1] or escape[2] or escape[3]
    if code:
        return chr(int(code, 16)).isspace()
    return escape[4] is None or escape[4] in _BLANK_ESCAPES
