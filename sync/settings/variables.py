"""The variables: one table, from which settings are read, shown and documented.

Knows each variable's name, default, meaning and reader. `personas-sync config`, `.env.example` and the documentation print this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sync.settings import address, values


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """One environment variable."""

    name: str
    meaning: str
    """Sentences, for people."""
    read: Callable[[str], object]
    """From a text that is not empty; raises ValueError with what was expected."""
    default: str | None = None
    """Text, as somebody would write it; None where there is no value without one."""
    secret: bool = False
    """Masked wherever it is shown, and may be given as a file, in the variable `file_name`."""
    example: str | None = None
    """What to write into `.env.example` where there is no default."""

    @property
    def field(self) -> str:
        """Return the name of the field of `Settings`."""
        return self.name.removeprefix("SYNC_").lower()

    @property
    def file_name(self) -> str | None:
        """Return the variable that names a file with the value; None where there is none."""
        return f"{self.name}_FILE" if self.secret else None


VARIABLES: Final = (
    Variable(
        name="SYNC_DATABASE_URL",
        default="sqlite:///personas.db",
        meaning="The store: sqlite:///FILE, or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE.",
        read=values.database_url,
        secret=True,
    ),
    Variable(
        name="SYNC_DEFINITIONS",
        default="personas.yaml",
        meaning="The definitions file, or a folder of *.yaml.",
        read=values.path,
    ),
    Variable(
        name="SYNC_MOESIF_APPLICATION_ID",
        meaning="The API key: Moesif's Collector Application Id. Without it nothing is sent.",
        read=values.secret,
        secret=True,
        example="",
    ),
    Variable(
        name="SYNC_MOESIF_URL",
        default="https://api.moesif.net",
        meaning="Base URL of Moesif's collector.",
        read=address.base_url,
    ),
    Variable(
        name="SYNC_MOESIF_CA_FILE",
        meaning=(
            "A file of certificates (PEM) of the authorities that vouch for these addresses, instead of the public ones: for a "
            "proxy of your own with a certificate of your own."
        ),
        read=values.certificates,
        example="",
    ),
    Variable(
        name="SYNC_MOESIF_MANAGEMENT_KEY",
        meaning="Moesif's Management API key, for reading back what Moesif holds, and for deleting users there.",
        read=values.secret,
        secret=True,
        example="",
    ),
    Variable(
        name="SYNC_MOESIF_MANAGEMENT_URL",
        default="https://api.moesif.com",
        meaning="Base URL of Moesif's Management API.",
        read=address.base_url,
    ),
    Variable(
        name="SYNC_WRITE_KEYS",
        meaning="The sources and their write keys. Without any, serve listens on loopback only and accepts any key.",
        read=values.write_keys,
        secret=True,
        example="web=KEY,server=KEY",
    ),
    Variable(
        name="SYNC_SOURCE_RATE",
        default="10000",
        meaning=(
            "Calls per second that one serve takes from one source over time; beyond it that source alone is answered 429. "
            "The default is far above what SDKs send (Segment takes 1,000 requests per second in all) and keeps one source from "
            "taking all the room there is."
        ),
        read=values.rate("calls", 1000),
    ),
    Variable(
        name="SYNC_API_TOKEN",
        meaning=(
            "Bearer token (and Basic user name) for the query API, the pages and control. "
            "Without it they are served on loopback only."
        ),
        read=values.token,
        secret=True,
        example="",
    ),
    Variable(
        name="SYNC_HOST",
        default="127.0.0.1",
        meaning="The address on which serve listens.",
        read=values.host,
    ),
    Variable(
        name="SYNC_PORT",
        default="8400",
        meaning="The port on which serve listens; 0 takes a free one.",
        read=values.whole(0, 65_535),
    ),
    Variable(
        name="SYNC_SPACE",
        default="default",
        meaning="The id of the space, in the Profile API's paths and in the identify calls of audiences.",
        read=values.space,
    ),
    Variable(
        name="SYNC_FORWARD_PAGES",
        default="0",
        meaning="1 forwards page and screen calls too, as user actions.",
        read=values.switch,
    ),
    Variable(
        name="SYNC_FORWARD_ANONYMOUS",
        default="0",
        meaning="1 forwards calls without a userId too.",
        read=values.switch,
    ),
    Variable(
        name="SYNC_REQUEST_URI",
        default="https://personas-sync.invalid/",
        meaning="The request.uri of an action whose call names no page; Moesif wants one.",
        read=values.page_url,
    ),
    Variable(
        name="SYNC_MOESIF_BATCH",
        default="1000",
        meaning="Updates or actions in one request to Moesif, at most; of large ones there are fewer, up to 1 MB together.",
        read=values.whole(1, 1_000),
    ),
    Variable(
        name="SYNC_MOESIF_CONNECTIONS",
        default="4",
        meaning="Requests to Moesif at the same time, for users, actions and companies each.",
        read=values.whole(1, 32),
    ),
    Variable(
        name="SYNC_MOESIF_RATE",
        meaning="Requests to Moesif per second, at most. Without it there is no limit.",
        read=values.rate("requests", 10),
        example="10",
    ),
    Variable(
        name="SYNC_RUN_TIMEOUT",
        default="30 minutes",
        meaning=(
            "How long a run of one audience may take to compute. One that takes longer is ended and shown as failed; nothing is "
            "changed, and it is tried again at the next slot. On PostgreSQL no other statement may take longer either."
        ),
        read=values.timeout,
    ),
    Variable(
        name="SYNC_SPOOL",
        meaning=(
            "A folder of this process's own, on a disk that outlives it, into which serve writes calls while the store is away, "
            "and answers them 200. Without it they are answered 503, and SDKs that give up lose them."
        ),
        read=values.path,
        example="spool",
    ),
    Variable(
        name="SYNC_SPOOL_MEGABYTES",
        default="1024",
        meaning="How much that folder may hold, at most; what is beyond is answered 503.",
        read=values.whole(1, 1_000_000),
    ),
    Variable(
        name="SYNC_TYPE_LOCK",
        default="1",
        meaning=(
            "1 rejects, before it is sent, what gives a metadata key another JSON type than Moesif accepted first, since that is "
            "lost there; 0 sends it all the same."
        ),
        read=values.switch,
    ),
    Variable(
        name="SYNC_RETAIN_EVENTS",
        meaning=(
            "How long calls are kept, by their timestamps, such as 400 days; traits stay. No definition may look back farther. "
            "Without it they are kept for ever."
        ),
        read=values.duration,
        example="400 days",
    ),
    Variable(
        name="SYNC_RETAIN_CHANGES",
        meaning=(
            "How long entries and exits are kept, such as 400 days; members --at cannot ask for an earlier time. "
            "Without it they are kept for ever."
        ),
        read=values.duration,
        example="400 days",
    ),
    Variable(
        name="SYNC_RETAIN_REJECTED_CALLS",
        meaning="How long calls that were not understood are kept, such as 30 days. Without it they are kept for ever.",
        read=values.duration,
        example="30 days",
    ),
    Variable(
        name="SYNC_LOG_LEVEL",
        default="info",
        meaning="From which level on serve logs: debug (each request to Moesif and each run), info, warning or error.",
        read=values.word("debug", "info", "warning", "error"),
    ),
    Variable(
        name="SYNC_LOG_FORMAT",
        default="text",
        meaning="text, or json: an object a line, with the ids of the run and of the batch as fields of their own.",
        read=values.word("text", "json"),
    ),
    Variable(
        name="SYNC_ALLOW_PLAIN_HTTP",
        default="0",
        meaning="1 allows a plain http URL of Moesif that leads to another machine; keys and users can then be read on the way.",
        read=values.switch,
    ),
)
"""In the order in which they are shown."""
