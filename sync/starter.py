"""What `init` writes: a commented definitions file and an example of the settings.

Knows the two texts. The settings come from the table of variables, so that the example cannot fall behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Final

from sync.errors import InputError
from sync.settings import VARIABLES, Variable

DEFINITIONS: Final = """\
# Audiences and computed traits. `personas-sync definitions check` says what is wrong with this file, `personas-sync preview` how
# many users a query gives, and `personas-sync definitions apply` (or a running `serve`) puts it in force.

# What holds for every definition that says nothing else.
defaults:
  every: 15 minutes               # or  cron: "0 */6 * * *"  with  timezone: Europe/Berlin ; or  schedule: manual
  # guard: {max_exits: 20%, max_entries: 50%}   # stop a run, before anything is sent, that would move more than this

audiences:
  # The trait in Moesif is the name in snake_case: order_completed_last_30days, true or false.
  - name: Order Completed Last 30days
    query: event('Order Completed').within(30 days).count() >= 1

  # - name: Big Spenders
  #   key: big_spender            # another name for the trait; it never changes and is never used again
  #   description: Spent 100 or more in the last 90 days, and does not work here.
  #   query: |
  #     event('Order Completed').within(90 days).sum(property('revenue')) >= 100
  #       AND NOT trait('plan') = 'internal'
  #   every: 1 minute
  #   guard: off                  # none, whatever `defaults` says
  #   enabled: false              # paused: not computed, nothing sent

# Values instead of true and false; sent when they change.
computed_traits:
  # - name: Orders 90d
  #   query: event('Order Completed').within(90 days).count()
"""


def example_env() -> str:
    """Return the text of `.env.example`: every variable, commented out, with its meaning and its default."""
    title = "# Settings of personas-sync. Copy this file to .env and uncomment what you need; the environment wins over .env.\n"
    return "\n".join([title, *(f"{_explained(variable)}\n" for variable in VARIABLES)])


def _explained(variable: Variable) -> str:
    return "\n".join(f"# {line}" if line else "#" for line in _lines(variable))


def _lines(variable: Variable) -> Iterator[str]:
    yield from wrap(variable.meaning, 130, break_on_hyphens=False)
    if variable.file_name:
        yield f"A secret: {variable.file_name} can name a file that holds it."
    yield f"{variable.name}={variable.default if variable.default is not None else variable.example or ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What became of each file."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    """Were there before, and are as they were."""


def write(folder: Path) -> Written:
    """Write `personas.yaml` and `.env.example` into a folder that exists; what is there already stays as it is.

    Raises InputError where the folder cannot be written to.
    """
    texts = {folder / "personas.yaml": DEFINITIONS, folder / ".env.example": example_env()}
    made = {path: _create(path, text) for path, text in texts.items()}
    return Written(
        written=tuple(path for path, new in made.items() if new),
        kept=tuple(path for path, new in made.items() if not new),
    )


def _create(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return True
