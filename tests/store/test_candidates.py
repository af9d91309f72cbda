"""Where the stretches of indexes begin and end in which a run searches for those whom it need look at."""

from __future__ import annotations

from sync.language.parse import parse_audience
from sync.store.arrivals import Mark
from sync.store.basis import Basis, Seen
from sync.store.candidates import Candidates
from tests.make import NOW, after


def test_what_each_reference_has_changed_is_searched_from_its_own_run_in_whatever_order_the_store_has_them() -> None:
    """A database that sorts by the rules of a language has `vip_a` before `vip1`."""
    candidates = Candidates.of(parse_audience("trait('vip1') = true AND trait('vip_a') = true"), {"vip1": 1, "vip_a": 2})
    seen = (Seen(key="vip_a", audience_id=2, run_id=20), Seen(key="vip1", audience_id=1, run_id=18))

    told = candidates.between(Basis(mark=Mark(origin="", number=1), references=seen), NOW, after(days=1))

    asked = [scan.compile().params for scan in candidates.scans]
    since = {names["audience_id_1"]: told[name] for names in asked for name in names if name.startswith("run_")}
    assert since == {1: 18, 2: 20}
