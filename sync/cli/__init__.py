"""The command line: what a person or a script types, translated into verbs, and what came of them, printed.

    program.py    which commands there are, and what becomes of errors
    session.py    the settings, the store and the road to Moesif that a command works with
    options.py    options that several commands have, and how times are read
    output.py     one JSON object, or tables and lines for people
    reports.py    the objects that `--json` prints
    …             the commands, one module for each group of them

Results go to standard output, everything else to standard error. Whatever costs time to import is imported inside of a command.
"""

from __future__ import annotations

from sync.cli.program import main

__all__ = ["main"]
