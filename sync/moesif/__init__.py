"""Moesif's Collector and Management APIs: the only outgoing HTTP of this program.

Knows how to put a batch on the wire and what the answer means. Does not know what is in a batch, nor what becomes of it.

    collector.py    asks, and never raises for anything that the network does
    management.py   has a user deleted
    wire.py         one exchange over requests: time-outs, a deadline over everything, how far it got
    answers.py      the table: an answer → an Outcome
    address.py      which base URLs and keys are fit to be used
"""

from __future__ import annotations

from sync.moesif.address import DEFAULT_URL, check_application_id, check_url
from sync.moesif.answers import outcome_of, retry_after
from sync.moesif.collector import Collector, Probe
from sync.moesif.management import Answered, Deletion, Management
from sync.moesif.wire import Limits

__all__ = [
    "DEFAULT_URL",
    "Answered",
    "Collector",
    "Deletion",
    "Limits",
    "Management",
    "Probe",
    "check_application_id",
    "check_url",
    "outcome_of",
    "retry_after",
]
