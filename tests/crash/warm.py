"""Imported by the process that the others are forked from: what each command would otherwise make for itself when it begins."""

from __future__ import annotations

from importlib import import_module

from sync.language.parse import parse_audience

# Half of the time until a service listens goes by with the tables of the grammar, and with what typer imports at the last moment.
parse_audience("trait('on') = true")
import_module("typer._adapters")
