"""Whoever is forgotten, whatever else happens: runs balance, and Moesif ends with what the ledger says of the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from sync.forget import forget
from sync.store import Store, audiences
from tests.forget.conftest import tables_that_name
from tests.make import identify, keep
from tests.store import test_machine
from tests.store.test_machine import USERS

users = st.sampled_from(USERS)


class Machine(test_machine.Machine):
    @initialize()
    def begin(self) -> None:
        self.forgotten: set[str] = set()
        super().begin()

    @rule(user=users, value=st.integers(0, 3))
    def a_user_identifies(self, user: str, value: int) -> None:
        if user in self.forgotten:
            self.later()
            kept = keep(self.store, identify(user, {"p": value}, at=self.now), forward=True)
            assert (kept.accepted, kept.suppressed) == (0, 1)
        else:
            super().a_user_identifies(user, value)

    @rule(user=users)
    def a_user_is_forgotten(self, user: str) -> None:
        """Even one who is on the way: nobody waits here."""
        self.later()
        done = forget(self.store, user, None, lambda: self.now, patience=timedelta())
        assert done.before is (user in self.forgotten)
        self.forgotten.add(user)
        self.said.pop(user, None)

    @invariant()
    def nothing_is_known_of_the_forgotten(self) -> None:
        for user in getattr(self, "forgotten", ()):
            assert tables_that_name(self.store, user) == []

    @invariant()
    def audiences_count_those_who_are_left(self) -> None:
        if hasattr(self, "forgotten"):
            with self.store.reading() as connection:
                assert all(stored.members <= len(USERS) - len(self.forgotten) for stored in audiences.all_stored(connection))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whoever_is_forgotten_runs_balance_and_moesif_knows_of_the_others(store: Store) -> None:
    run_machine(store, examples=20)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_whoever_is_forgotten_runs_balance_and_moesif_knows_of_the_others_on_postgresql(store: Store) -> None:
    run_machine(store, examples=5)


def run_machine(store: Store, examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(max_examples=examples, stateful_step_count=15, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(type("MachineOnThisStore", (Machine,), {"store": store}), settings=chosen)
