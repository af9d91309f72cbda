"""Import: calls from files of JSON lines, a call or a batch object a line, into the store.

Knows lines, gzip and what was refused; `sync.call` knows what a call is and `sync.ingest` how it is kept. Lines are taken in
portions, each a transaction, so that memory stays the same whatever the size of the file, and an import that was interrupted can
be run again.

Importing a file again changes nothing: a call is known by its message id. One without gets an id made from its text and the number
of its line, so that two purchases that look the same stay two.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BufferedIOBase
from pathlib import Path
from typing import IO, BinaryIO, Final

from sync.call import Call, Incoming, InvalidCall, RejectedCall, open_line, read
from sync.call.envelope import reject
from sync.errors import InputError
from sync.ingest import accept
from sync.json_value import Json, encode
from sync.payload import Mapping
from sync.store import Store

SOURCE: Final = "import"
PORTION_CALLS: Final = 2_000
PORTION_BYTES: Final = 8 * 1024 * 1024
LINE_BYTES: Final = 32 * 1024 * 1024
"""Far more than a batch of Segment's may be (500 KB); a longer line is no call, and must not fill the memory."""
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How far an import has come."""

    accepted: int = 0
    duplicate: int = 0
    suppressed: int = 0
    """About people who were forgotten."""
    rejected: int = 0
    bytes_read: int = 0
    """Of the file as it is on disk, compressed if it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """A file to import, or standard input."""

    name: str
    path: Path | None
    """None for standard input."""
    rejects: Path
    """Where lines that are refused are written."""

    @property
    def size(self) -> int | None:
        """Bytes on disk; None where that is not known."""
        return self.path.stat().st_size if self.path is not None and self.path.is_file() else None


def origin_of(name: str, folder: Path) -> Origin:
    """Return what a name on the command line means; `-` is standard input, whose rejects go into the folder.

    Raises InputError where it cannot be read, so that this is known before anything is imported.
    """
    if name == "-":
        return Origin(name="standard input", path=None, rejects=folder / "stdin.rejected.jsonl")
    path = Path(name)
    beside = f"{path.name}.rejected.jsonl"
    if path.is_fifo() or path.is_char_device():
        # A pipe can be opened once, and there may be no room beside it.
        return Origin(name=name, path=path, rejects=folder / beside)
    with _readable(path):
        return Origin(name=name, path=path, rejects=path.with_name(beside))


def import_calls(
    store: Store, origin: Origin, standard_input: BinaryIO, mapping: Mapping, clock: Callable[[], datetime], *, forward: bool
) -> Generator[Tally, None, None]:
    """Import a file; yield how far it has come after each portion, which is durable then.

    Raises InputError where the file turns out to be cut off or damaged; what came before that place is kept.
    """
    tally = Tally()
    with ExitStack() as stack:
        raw = stack.enter_context(_readable(origin.path)) if origin.path is not None else standard_input
        lines = _lines(_unpacked(raw, origin.name), origin.name)
        refused = stack.enter_context(_rejects(origin.rejects))
        for portion in _portions(lines, clock):
            refused.write(portion.refused)
            kept = accept(store, [Incoming(source=SOURCE, calls=tuple(portion.calls))], mapping, clock(), forward=forward)
            tally = replace(
                tally,
                accepted=tally.accepted + kept.accepted,
                duplicate=tally.duplicate + kept.duplicate,
                suppressed=tally.suppressed + kept.suppressed,
                rejected=tally.rejected + len(portion.refused),
                bytes_read=raw.tell() if origin.size is not None else tally.bytes_read + portion.size,
            )
            yield tally


@dataclass(slots=True, kw_only=True)
class _Portion:
    """Some lines, read; one transaction."""

    calls: list[Call] = field(default_factory=list)
    refused: list[tuple[int, RejectedCall]] = field(default_factory=list)
    """With the numbers of their lines."""
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.calls) + len(self.refused) >= PORTION_CALLS or self.size >= PORTION_BYTES

    def add(self, number: int, line: bytes, received_at: datetime) -> None:
        """Read a line; the first is 1."""
        self.size += len(line)
        try:
            calls, refused = _read(number, line, received_at)
        except InvalidCall as reason:
            calls, refused = (), (reject(line, reason, received_at),)
        self.calls += calls
        self.refused += [(number, one) for one in refused]


def _portions(lines: Iterator[tuple[int, bytes]], clock: Callable[[], datetime]) -> Iterator[_Portion]:
    """Cut the lines into portions; where reading fails, what was read before comes first."""
    portion, failure = _Portion(), None
    while failure is None:
        try:
            number, line = next(lines)
        except StopIteration:
            break
        except InputError as error:
            failure = error
            continue
        portion.add(number, line, clock())
        if portion.full:
            yield portion
            portion = _Portion()
    if portion.size:
        yield portion
    if failure is not None:
        raise failure


def _read(number: int, line: bytes, received_at: datetime) -> tuple[Sequence[Call], Sequence[RejectedCall]]:
    if len(line) > LINE_BYTES:
        raise InvalidCall("line_too_large", f"a line may hold at most {LINE_BYTES:,} bytes")
    envelope = open_line(line)

    def id_of(index: int) -> str:
        digest = hashlib.sha256(b"%d:%d:%b" % (number, index, line)).hexdigest()
        return f"import-{digest[:40]}"

    return read(envelope, received_at=received_at, message_id=id_of)


def _lines(file: BufferedIOBase | BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its number, without the empty ones; of one that is too long only the beginning."""
    number = 0
    try:
        while line := file.readline(LINE_BYTES + 1):
            number += 1
            while len(line) > LINE_BYTES and not line.endswith(b"\n"):
                rest = file.readline(LINE_BYTES)
                if rest.endswith(b"\n") or not rest:
                    break
            line = line.rstrip(b"\r\n")
            if line.strip():
                yield number, line
    except EOFError:
        raise InputError(f"{name} ends in the middle of its compressed data, after line {number:,}; {_KEPT}") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name} cannot be unpacked after line {number:,}: {error}; {_KEPT}") from None
    except OSError as error:
        raise InputError(f"cannot read {name} after line {number:,}: {error.strerror or error}; {_KEPT}") from None


_KEPT: Final = "what came before is kept, and importing it again changes nothing"


def _unpacked(raw: BinaryIO, name: str) -> BufferedIOBase | BinaryIO:
    """Return the file's text: unpacked if it begins as gzip does, whatever its name."""
    peek = getattr(raw, "peek", None)
    if peek is not None and bytes(peek(2)[:2]) == _GZIP:
        return gzip.GzipFile(fileobj=raw)
    if name.endswith(".gz") and (peek is None or peek(1)):
        raise InputError(f"{name} is called .gz and is not gzip")
    return raw


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    with file:
        yield file


class _Rejects:
    """A file of refused lines, made when there is the first."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path = path
        self._stack = stack
        self._file: IO[str] | None = None

    def write(self, refused: Sequence[tuple[int, RejectedCall]]) -> None:
        if not refused:
            return
        try:
            if self._file is None:
                self._file = self._stack.enter_context(self._path.open("w", encoding="utf-8"))
            for number, one in refused:
                entry: dict[str, Json] = {"line": number, "code": one.code, "message": one.message, "body": one.body}
                self._file.write(f"{encode(entry)}\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {(error.strerror or str(error)).lower()}") from error

    def none(self) -> bool:
        return self._file is None


@contextmanager
def _rejects(path: Path) -> Iterator[_Rejects]:
    """Open the file of what is refused; one that an earlier import left goes away when there is nothing to refuse any more."""
    with ExitStack() as stack:
        rejects = _Rejects(path, stack)
        yield rejects
        if rejects.none():
            path.unlink(missing_ok=True)
