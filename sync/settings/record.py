"""The settings in force, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from sync.settings.secret import Secret
from sync.settings.values import masked_database_url, shown_duration
from sync.settings.variables import VARIABLES


class Origin(StrEnum):
    """Where a value came from; the later one wins."""

    DEFAULT = "default"
    DOTENV = ".env"
    ENVIRONMENT = "environment"
    FILE = "file"
    """A file that a `…_FILE` variable names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One field for each variable of `VARIABLES`; None where a variable has neither a value nor a default."""

    database_url: str = field(repr=False)
    definitions: Path
    moesif_application_id: str | None = field(repr=False)
    moesif_url: str
    """Without a slash at its end."""
    moesif_ca_file: Path | None
    """Certificates that are trusted instead of the public ones; None trusts those."""
    moesif_management_key: str | None = field(repr=False)
    moesif_management_url: str
    """Without a slash at its end."""
    write_keys: Mapping[str, Secret] | None = field(repr=False)
    """Write keys by the names of their sources; never empty."""
    source_rate: float
    """Calls per second of one source."""
    api_token: Secret | None = field(repr=False)
    host: str
    port: int
    space: str
    forward_pages: bool
    forward_anonymous: bool
    request_uri: str
    moesif_batch: int
    moesif_connections: int
    moesif_rate: float | None
    """Requests per second."""
    run_timeout: timedelta
    spool: Path | None
    """None has no spool."""
    spool_megabytes: int
    type_lock: bool
    retain_events: timedelta | None
    """None keeps them for ever, as with the next two."""
    retain_changes: timedelta | None
    retain_rejected_calls: timedelta | None
    log_level: str
    log_format: str
    allow_plain_http: bool
    origins: Mapping[str, Origin] = field(repr=False)
    """Where each value came from, by the variable's name."""
    warnings: tuple[str, ...] = ()
    """What looks like a setting of ours and is none; to be shown to people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One setting, fit to be shown to anybody."""

    name: str
    value: str | None
    """As it would be written; None where there is no value."""
    origin: Origin
    meaning: str


def describe(settings: Settings) -> tuple[Shown, ...]:
    """Return every setting in the order of `VARIABLES`, with secrets and passwords masked."""
    return tuple(
        Shown(
            name=variable.name,
            value=_shown(variable.field, getattr(settings, variable.field), secret=variable.secret),
            origin=settings.origins[variable.name],
            meaning=variable.meaning,
        )
        for variable in VARIABLES
    )


def _shown(field_name: str, value: object, *, secret: bool) -> str | None:
    if value is None:
        return None
    if isinstance(value, timedelta):
        return shown_duration(value)
    if field_name == "database_url":
        return masked_database_url(str(value))
    if isinstance(value, Mapping):
        return ",".join(f"{name}=***" for name in value)
    if secret:
        return "***"
    return str(int(value)) if isinstance(value, bool) else _plain(value)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
