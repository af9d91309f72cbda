"""Definitions files: from `personas.yaml` to audiences and computed traits, or to every fault with its place.

    files ──load──▶ text ──compose──▶ YAML nodes ──read──▶ definitions
                                                      └──▶ InvalidDefinitions(faults)

Knows YAML and the fields of a definition. Does not know queries (a checker is handed in) nor the store.
"""

from sync.definitions.faults import Fault, InvalidDefinitions, fault_at
from sync.definitions.fields import DEFAULT_EVERY, schema
from sync.definitions.files import load
from sync.definitions.reader import CheckQuery, QueryFault, read

__all__ = ["DEFAULT_EVERY", "CheckQuery", "Fault", "InvalidDefinitions", "QueryFault", "fault_at", "load", "read", "schema"]
