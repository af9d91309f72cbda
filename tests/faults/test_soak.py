"""A few seconds of the soak, so that it is known to work; `python -m tests.night soak` lasts as long as you like."""

from __future__ import annotations

from sync.standin import StandIn
from sync.store import Store
from tests.crash.life import Folder
from tests.faults.crews import Weight
from tests.faults.places import Place
from tests.faults.soak import MOST_DESCRIPTORS, MOST_GROWTH, soak


def test_whatever_goes_wrong_meanwhile_nothing_is_lost_and_moesif_ends_as_the_ledger(
    folder: Folder, place: Place, store: Store, standin: StandIn
) -> None:
    soaked = soak(folder, place, store, standin, seconds=6, seed=3)

    assert len(soaked.traffic.answered) > 30
    assert soaked.crew.kills
    assert soaked.crew.stops
    for weight in soaked.crew.weights.values():
        assert weight.megabytes
        assert max(weight.descriptors) <= MOST_DESCRIPTORS


def test_a_weight_that_grows_when_warm_is_noticed() -> None:
    assert Weight(pid=0, megabytes=[50, 100, 100, 100, 100, 100, 100, 100]).growth == 1
    assert Weight(pid=0, megabytes=[50, 100, 100, 100, 100, 100, 110, 110]).growth == 1.1
    # A little all the time, of which no quarter shows much by itself.
    assert Weight(pid=0, megabytes=[90, 95, 100, 100, 103, 103, 106, 106]).growth > MOST_GROWTH
