"""Clients that send calls as an SDK would that never gives up, and remember what they were answered."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import requests

Calls = list[dict[str, Any]]

UNANSWERED = 0
"""Stands among the statuses for a request that nobody answered."""


AGAIN_AFTER = 0.05
"""Seconds after which a client tries again; more often, three of them keep a processor busy in which a service is to start."""


@dataclass
class Client:
    """Sends calls about users of its own, one request after another; what is not answered 200 is sent again."""

    name: str
    users: int = 5
    invalid: float = 0.0
    """How large a part of its calls, by chance, says of nobody what they did, which is answered 200 all the same."""
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Every call that was answered 200, by message id, in the order sent; without the invalid ones."""
    refused: dict[str, int] = field(default_factory=dict)
    """How often each invalid one was sent until it was answered 200, by message id."""
    statuses: Counter[int] = field(default_factory=Counter)
    silence: float = 0.0
    """Seconds, at most, between two answers 200."""
    _heard: float | None = None
    _number: int = 0
    _sent: Counter[str] = field(default_factory=Counter)

    def batch(self, dice: random.Random, number: int | None = None) -> Calls:
        """Make so many calls; without a number a few."""
        return [self._call(dice) for _ in range(dice.randint(1, 8) if number is None else number)]

    def _call(self, dice: random.Random) -> dict[str, Any]:
        self._number += 1
        number = f"{self.name}:{self._number}"
        # In no order, as SDKs make them: an index of them is changed all over, and not at its end.
        id = f"{crc32(number.encode()):08x}:{number}"
        if self.invalid and dice.random() < self.invalid:
            return {"messageId": id, "type": "track", "event": "Order Completed"}
        user = f"{self.name}-{dice.randrange(self.users)}"
        call = {"messageId": id, "userId": user}
        if dice.random() < 0.5:
            return call | {"type": "track", "event": "Order Completed", "properties": {"n": self._number}}
        return call | {"type": "identify", "traits": {"n": self._number, "on": dice.random() < 0.5}}

    def send(self, url: str, calls: Calls) -> bool:
        """Post once; whether it was answered 200."""
        invalid = [call["messageId"] for call in calls if "userId" not in call]
        self._sent.update(invalid)
        try:
            answer = requests.post(f"{url}/v1/batch", json={"batch": calls}, auth=("any", ""), timeout=30)
        except requests.RequestException:
            self.statuses[UNANSWERED] += 1
            return False
        self.statuses[answer.status_code] += 1
        if answer.status_code != 200:
            return False
        now = time.monotonic()
        self.silence, self._heard = max(self.silence, now - (self._heard or now)), now
        self.answered |= {call["messageId"]: call for call in calls if "userId" in call}
        self.refused |= {id: self._sent[id] for id in invalid}
        return True


@dataclass
class Traffic:
    """Several clients at once, for as long as it is wanted; `url` may change under their feet."""

    clients: list[Client]
    url: str = ""
    seed: int = 0
    pause: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def of(cls, number: int, seed: int, pause: float = 0.0, invalid: float = 0.0) -> Traffic:
        return cls([Client(f"c{index}", invalid=invalid) for index in range(number)], seed=seed, pause=pause)

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._send, args=(client,)) for client in self.clients]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Begin nothing more, and return once everything that was begun has been answered 200."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a call was never taken"

    def __enter__(self) -> Traffic:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    @property
    def answered(self) -> dict[str, dict[str, Any]]:
        # Copied in one go, since the clients go on.
        return {id: call for client in self.clients for id, call in client.answered.copy().items()}

    @property
    def refused(self) -> dict[str, int]:
        return {id: number for client in self.clients for id, number in client.refused.copy().items()}

    @property
    def statuses(self) -> Counter[int]:
        return sum((client.statuses for client in self.clients), Counter())

    @property
    def silence(self) -> float:
        """Seconds, at most, that any client waited from one answer 200 to the next."""
        return max(client.silence for client in self.clients)

    def _send(self, client: Client) -> None:
        dice = random.Random(f"{self.seed}{client.name}")
        while not self.url and not self._stop.is_set():
            # Nobody has said yet where the door is.
            time.sleep(0.001)
        while not self._stop.is_set():
            calls = client.batch(dice)
            while not client.send(self.url, calls):
                time.sleep(AGAIN_AFTER)
            time.sleep(self.pause)
