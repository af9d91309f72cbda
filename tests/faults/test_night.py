"""The night's loops run by one command; here as briefly as they can."""

from __future__ import annotations

import pytest

from tests.night import LOOPS, main

BRIEF = {"service": "2", "spool": "1", "restarts": "1"}


@pytest.mark.parametrize("loop", BRIEF)
def test_a_loop_of_the_night_runs_by_its_command_and_says_what_it_went_through(
    loop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loop in LOOPS

    main([loop, "--times", BRIEF[loop], "--database", "sqlite", "--seed", "3"])

    assert f"{BRIEF[loop]} times" in capsys.readouterr().out
