"""What flags of several benchmarks take."""

from __future__ import annotations

import argparse


def at_least_one(text: str) -> int:
    """Read a whole number of which there must be one, for argparse, which says what was given for which flag otherwise."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return number
