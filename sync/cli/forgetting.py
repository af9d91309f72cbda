"""The command that forgets a user."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import JsonFlag
from sync.cli.output import clean, count, facts, note, say, say_json, shown_at
from sync.cli.session import opened_app
from sync.instant import iso

if TYPE_CHECKING:
    from sync.forget import Forgotten
    from sync.store.lookup import Person
    from sync.store.receipts import Receipt


def forget(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user id.")],
    in_moesif: Annotated[
        bool,
        typer.Option("--in-moesif", help="Delete the user, and what they did, in Moesif too; needs SYNC_MOESIF_MANAGEMENT_KEY."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. In a pipe nothing is erased without it.")] = False,
    json: JsonFlag = False,
) -> None:
    """Erase a user here, for good, and take in nothing more about them.

    Calls, traits, ids, memberships and their history go, and what is owed to Moesif; whatever comes in later under the user id, or
    under one of their anonymous ids, is answered as always and not kept. A receipt without personal data stays. Repeating the
    command does no harm, and is how to ask Moesif again.
    """
    from sync.forget import find
    from sync.forget import forget as forget_user
    from sync.store.receipts import Receipt

    with ExitStack() as stack:
        app = stack.enter_context(opened_app())
        # Before anything is erased: without the key only the half could be done.
        moesif = stack.enter_context(app.management()) if in_moesif else None
        found = find(app.store, user)
        if in_moesif or not isinstance(found, Receipt):
            _require_agreement(found, ask=not yes, in_moesif=in_moesif)
        told = _Waiting()
        done = forget_user(app.store, user, moesif, app.clock, waiting=told)
    if json:
        say_json(_report(done))
    else:
        _show(done)
    raise typer.Exit(_exit_code(done))


class _Waiting:
    """Says once that something is waited for."""

    def __init__(self) -> None:
        self._told = False

    def __call__(self) -> None:
        if not self._told:
            note("personas-sync: waiting for a request to Moesif that carries something about the user")
        self._told = True


def _require_agreement(found: Person | Receipt, *, ask: bool, in_moesif: bool) -> None:
    from sync.errors import InputError
    from sync.store.receipts import Receipt

    if not ask:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("what is erased cannot be brought back, and nobody can be asked here: add --yes")
    if isinstance(found, Receipt):
        note(f"forgotten here already, on {shown_at(found.at)}")
    else:
        ids = count(len(found.anonymous_ids), "anonymous id")
        note(f"{clean(found.user_id)}: {count(found.calls, 'call')}, {count(len(found.traits), 'trait')}, {ids}")
    where = "in Moesif too" if in_moesif else "here; Moesif keeps what it has"
    if not typer.confirm(f"Erase for good, {where}?", default=False, err=True):
        note("nothing was changed")
        raise typer.Exit(1)


def _report(done: Forgotten) -> dict[str, object]:
    receipt = done.receipt
    return {
        "receipt": receipt.id,
        "at": iso(receipt.at),
        "digest": receipt.digest,
        "erased": dict(receipt.erased),
        "in_moesif": receipt.in_moesif,
        "already_forgotten": done.before,
    }


def _show(done: Forgotten) -> None:
    receipt = done.receipt
    say("already forgotten" if done.before else "forgotten")
    erased = ", ".join(f"{number:,} in {table}" for table, number in receipt.erased.items() if number)
    facts(
        {
            "receipt": str(receipt.id),
            "at": shown_at(receipt.at),
            "digest": receipt.digest,
            "erased": erased or "nothing",
            "in Moesif": receipt.in_moesif or "not asked",
        }
    )
    if done.answered is not None and not done.answered.is_gone:
        note(
            f"personas-sync: the user is forgotten here, and Moesif did not delete them: {done.answered.reason}. "
            "Run the same command again to ask once more"
        )


def _exit_code(done: Forgotten) -> int:
    from sync.moesif import Deletion

    if done.answered is None or done.answered.is_gone:
        return 0
    return 5 if done.answered.deletion is Deletion.FAILED else 1
