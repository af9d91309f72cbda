"""A stand-in for Moesif: a real HTTP server that does what Moesif documents of its Collector API, and remembers everything.

Of the Management API it has the deletion of a user.

For the demo, for the tests, and as a sandbox. Independent of the rest of the program on purpose: what it imitates is Moesif's
reference, not our reading of it in `sync.payload`.

    holdings.py   what Moesif would hold: users, companies, actions; what it refuses
    faults.py     how it has been told to misbehave
    collector.py  one request to the collector, answered; HTTP but no sockets
    management.py one request to the Management API, likewise
    server.py     sockets, and how it is asked and told

What it does not imitate: the search API, the lag between an answer and what analytics show, and that Moesif refuses what is
older than thirty days.
"""

from __future__ import annotations

from sync.standin.faults import Fault
from sync.standin.holdings import Counts, Taken
from sync.standin.server import StandIn, run

__all__ = ["Counts", "Fault", "StandIn", "Taken", "run"]
