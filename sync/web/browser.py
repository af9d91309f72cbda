"""What browsers need beside the routes for calls: the settings of Analytics.js, and the pixel."""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import parse_qsl

from sync.json_value import Json, encode
from sync.web.answers import Answer, json_answer

_GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
PIXEL: Final = Answer(status=200, body=_GIF, headers=((b"content-type", b"image/gif"), (b"cache-control", b"no-store")))

_MOST_PARAMETERS: Final = 1000
_DEEPEST_NAME: Final = 60


def pixel_body(query: bytes) -> bytes | None:
    """Make a call's body of a pixel's query: `data` is base64 of JSON, or names have dots (`properties.plan`). None if broken."""
    try:
        parameters = dict(parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict"))
    except ValueError:
        return None
    if "data" not in parameters:
        return encode(_nested(parameters)).encode()
    try:
        return base64.urlsafe_b64decode(parameters["data"].replace(" ", "+").replace("+", "-").replace("/", "_") + "==")
    except (ValueError, binascii.Error):
        return None


def _nested(parameters: dict[str, str]) -> dict[str, Json]:
    """Turn `{"a.b": "x"}` into `{"a": {"b": "x"}}`. Where a name is both a value and a parent, the later one stays."""
    root: dict[str, Json] = {}
    for name, value in parameters.items():
        *parents, last = name.split(".", _DEEPEST_NAME)
        place = root
        for parent in parents:
            inner = place.get(parent)
            if not isinstance(inner, dict):
                place[parent] = inner = {}
            place = inner
        place[last] = value
    return root


def settings(write_key: str, headers: dict[bytes, bytes], scheme: str) -> Answer:
    """Answer with the least that Analytics.js needs to start: no other destinations, and its calls come here.

    The host is the one the browser asked; behind a proxy that speaks TLS for us the scheme is the proxy's.
    """
    secure = scheme == "https" or headers.get(b"x-forwarded-proto", b"").lower() == b"https"
    segment: dict[str, Json] = {
        "apiKey": write_key,
        "unbundledIntegrations": [],
        "addBundledMetadata": True,
        "maybeBundledConfigIds": {},
    }
    host = headers.get(b"host", b"").decode("latin-1")
    if host:
        segment |= {"apiHost": f"{host}/v1", "protocol": "https" if secure else "http"}
    document: Json = {"integrations": {"Segment.io": segment}, "plan": {}, "metrics": {"sampleRate": 0}, "remotePlugins": []}
    return json_answer(200, document, ((b"cache-control", b"no-cache"),))
