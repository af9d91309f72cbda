"""Settings: what the environment, a `.env` file and secret files say, as one frozen record.

    environment ─┐
    .env         ├─▶ read ──▶ Settings
    …_FILE       ┘      └───▶ InvalidSettings(faults)

Knows which variables there are, what each may be, and where each value came from. Does not know what they are used for.
"""

from sync.settings.address import base_url, is_address, is_forbidden, is_loopback, is_plain_to_elsewhere
from sync.settings.reader import DOTENV, InvalidSettings, SettingFault, from_folder, read
from sync.settings.record import Origin, Settings, Shown, describe
from sync.settings.secret import Secret
from sync.settings.values import masked_database_url, shown_duration
from sync.settings.variables import VARIABLES, Variable

__all__ = [
    "DOTENV",
    "VARIABLES",
    "InvalidSettings",
    "Origin",
    "Secret",
    "SettingFault",
    "Settings",
    "Shown",
    "Variable",
    "base_url",
    "describe",
    "from_folder",
    "is_address",
    "is_forbidden",
    "is_loopback",
    "is_plain_to_elsewhere",
    "masked_database_url",
    "read",
    "shown_duration",
]
