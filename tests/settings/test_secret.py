"""Write keys and tokens can be compared in one way only, which takes as long whatever is guessed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sync.settings import Secret, read

ROOT = Path(__file__).parents[2] / "sync"
HOME = ROOT / "settings" / "secret.py"


def test_two_secrets_are_the_same_where_their_texts_are() -> None:
    assert Secret("schlüssel").is_same(Secret("schlüssel".encode()))
    assert not Secret("schlüssel").is_same(Secret("schlüsse"))
    assert not Secret("").is_same(Secret("x"))


@pytest.mark.parametrize("other", [Secret("hush"), "hush", b"hush", None], ids=str)
def test_a_plain_comparison_cannot_be_written(other: object) -> None:
    known = Secret("hush")

    for compare in (lambda: known == other, lambda: known != other, lambda: other in [known, known], lambda: known in {"hush": 1}):
        with pytest.raises(TypeError):
            compare()


def test_a_secret_shows_nothing_of_itself() -> None:
    assert "hush" not in repr(Secret("hush")) + str(Secret("hush")) + f"{Secret('hush')}"
    assert not hasattr(Secret("hush"), "__dict__")


def test_whatever_somebody_has_to_know_is_such_a_secret() -> None:
    settings = read({"SYNC_WRITE_KEYS": "web=a,ios=b", "SYNC_API_TOKEN": "c"})

    assert settings.write_keys is not None
    assert {type(one) for one in (*settings.write_keys.values(), settings.api_token)} == {Secret}


def test_secrets_are_compared_in_one_place_and_there_in_constant_time() -> None:
    using = {path for path in ROOT.rglob("*.py") if "compare_digest" in path.read_text(encoding="utf-8")}
    compared = [node for node in ast.walk(ast.parse(HOME.read_text(encoding="utf-8"))) if isinstance(node, ast.Compare)]

    assert using == {HOME}
    assert compared == [], "a comparison that is none of compare_digest"
