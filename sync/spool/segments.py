"""The files of a spool: a folder of segments, each a few megabytes of records, and a lock that lets one process in.

    00000001.spool  00000002.spool  …   in the order in which they are to be read; the last one is being written
    set-aside                           lines that could not be read or stored, for people to look at
    lock                                held by the process whose spool it is

Nothing is written to a segment again once it is sealed, and it goes as a whole when all of it is in the store: after a crash some
of it is put there again, which changes nothing. The files hold personal data, so nobody else may read them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from sync.errors import SettingsError, Unreachable
from sync.spool.record import Damaged, calls_in, first_instant, read_line

SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""At which a segment is sealed; what is written at one time may exceed it."""
SET_ASIDE: Final = "set-aside"
_MODE: Final = 0o600
_TRIED: Final = bytes(32 * 1024)
"""As long as a call may be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One file, as far as it is known to be on the disk."""

    path: Path
    size: int = 0
    calls: int = 0
    since: datetime | None = None
    """When the first of it came in; None where there is nothing that can be read."""


@dataclass(slots=True)
class Segments:
    """The segments of one folder. For one process, and one thread at a time."""

    folder: Path
    most_bytes: int
    known: list[Segment] = field(default_factory=list)
    _lock: int = -1
    _open: int | None = None
    """The descriptor of the last one, as long as it is not sealed."""

    @classmethod
    def at(cls, folder: Path, most_bytes: int) -> Self:
        """Take possession of a folder, which is made where there is none. Raises SettingsError where it cannot be used."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _locked(folder)
        except OSError as error:
            raise SettingsError(f"SYNC_SPOOL: the folder {folder} cannot be used: {error.strerror}") from None
        return cls(folder, most_bytes, segments_in(folder), lock)

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.known)

    def append(self, lines: Sequence[bytes], calls: int, since: datetime) -> None:
        """Write lines through to the disk, all or, as far as anybody will read, none. Raises OSError, and Unreachable when full."""
        data = b"".join(lines)
        if self.size + len(data) > self.most_bytes:
            raise Unreachable(f"the spool {self.folder} is full")
        segment, number = self._being_written()
        try:
            _write(number, data)
            os.fsync(number)
        except OSError:
            # What cannot be cut off either is an unfinished line at the end of a segment, and is known as such when it is read.
            with suppress(OSError):
                os.ftruncate(number, segment.size)
            self.seal()
            raise
        self.known[-1] = replace(segment, size=segment.size + len(data), calls=segment.calls + calls, since=segment.since or since)
        if self.known[-1].size >= SEGMENT_BYTES:
            self.seal()

    def can_append(self, lying: int) -> bool:
        """Whether there is room behind so many bytes, and the disk takes what is written through to it. For any thread."""
        if lying + len(_TRIED) > self.most_bytes:
            return False
        try:
            _try_out(self.folder)
        except OSError:
            return False
        return True

    def seal(self) -> None:
        """Write nothing more to what was written last."""
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def remove_first(self) -> None:
        """Remove the first segment. That it goes need not be sure: it may be read again."""
        first = self.known[0]
        first.path.unlink(missing_ok=True)
        del self.known[0]

    def set_aside(self, lines: Sequence[bytes]) -> None:
        """Keep lines for people to look at, before their segment goes. Raises OSError."""
        number = os.open(self.folder / SET_ASIDE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _MODE)
        try:
            _write(number, b"".join(line + b"\n" for line in lines))
            os.fsync(number)
        finally:
            os.close(number)

    def close(self) -> None:
        """Let another process in. Doing so twice does no harm."""
        self.seal()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _being_written(self) -> tuple[Segment, int]:
        if self._open is None:
            number = 1 + max((int(segment.path.stem) for segment in self.known), default=0)
            path = self.folder / f"{number:08}.spool"
            begun = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, _MODE)
            self.known.append(Segment(path=path))
            try:
                _sync_folder(self.folder)
            except OSError:
                # Its name may not outlast a power cut, so nothing is written to it.
                os.close(begun)
                raise
            self._open = begun
        return self.known[-1], self._open


def try_out(folder: Path) -> None:
    """See whether a folder could be used, or made: write something through to the disk that nobody will see. Raises OSError."""
    _try_out(next(place for place in (folder, *folder.absolute().parents) if place.exists()))


def segments_in(folder: Path) -> list[Segment]:
    """Look at the segments of a folder, of whichever process it is."""
    found = (_segment(path) for path in sorted(folder.glob(f"{'[0-9]' * 8}.spool")))
    return [segment for segment in found if segment is not None]


def lines_of(path: Path, start: int) -> Iterator[tuple[bytes, int]]:
    """Yield the lines of a segment from an offset on, each with the offset behind it; one that has no end has kept its place."""
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            start += len(line)
            yield line, start


def _locked(folder: Path) -> int:
    """Return the descriptor that holds the folder's lock, which ends with the process however it ends."""
    try:
        import fcntl
    except ImportError:
        raise SettingsError("SYNC_SPOOL: this system has no locks that end with a process, which the spool needs") from None
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, _MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SettingsError(
            f"SYNC_SPOOL: the folder {folder} belongs to another process that serves; each needs one of its own"
        ) from None
    return lock


def _segment(path: Path) -> Segment | None:
    """Look at one segment; None where it went meanwhile."""
    size, calls, since = 0, 0, None
    try:
        for line, end in lines_of(path, 0):
            size, calls = end, calls + calls_in(line)
            since = since or _instant_of(line)
    except FileNotFoundError:
        return None
    return Segment(path=path, size=size, calls=calls, since=since)


def _instant_of(line: bytes) -> datetime | None:
    try:
        return first_instant(read_line(line.removesuffix(b"\n")))
    except Damaged:
        return None


def _try_out(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        _write(file.fileno(), _TRIED)
        os.fsync(file.fileno())


def _write(number: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(number, left) :]


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
