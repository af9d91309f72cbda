"""Looks up host names, on threads of their own: nothing can interrupt a look-up, so whoever waits for one must be able to go.

A name is looked up once at a time, however many wait for it, so that one which is never answered costs one thread.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from urllib3.util.connection import allowed_gai_family

LookUp: TypeAlias = Callable[[str], Sequence[str]]
"""From a name to the addresses that it stands for, in the order in which they are to be tried. Raises OSError."""


def look_up(name: str) -> Sequence[str]:
    """Ask this machine's resolver."""
    found = socket.getaddrinfo(name, None, allowed_gai_family(), socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class LookUps:
    """Safe to share among threads."""

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._look_up: Final = look_up
        self._lock = threading.Lock()
        self._under_way: dict[str, _UnderWay] = {}

    def addresses(self, name: str, seconds: float) -> Sequence[str]:
        """Return the addresses of a name. Raises OSError, TimeoutError where that takes longer."""
        with self._lock:
            found = self._under_way.get(name)
            if found is None:
                found = _UnderWay()
                # Before it is known to others: where no thread can be started, nobody may wait for it for ever.
                threading.Thread(target=self._run, args=(name, found), name="look-up", daemon=True).start()
                self._under_way[name] = found
        return found.result(seconds)

    def _run(self, name: str, found: _UnderWay) -> None:
        try:
            found.addresses = self._look_up(name)
        except (OSError, UnicodeError) as error:
            found.error = error
        finally:
            with self._lock:
                del self._under_way[name]
            found.over.set()


class _UnderWay:
    """One look-up, and what came of it."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.addresses: Sequence[str] = ()
        self.error: Exception | None = None

    def result(self, seconds: float) -> Sequence[str]:
        if not self.over.wait(max(0.0, seconds)):
            raise TimeoutError
        if not self.addresses:
            raise OSError("the name stands for no address") from self.error
        return self.addresses
