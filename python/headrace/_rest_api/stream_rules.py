"""`stream` of an endpoint: what it says of an answer that does not end.

docs/more-than-get.md describes the keys, _rest_api/live.py does it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from headrace._rest_api.option_values import known, number, one_of
from headrace.exceptions import ConfigurationError

_KEYS = ("format", "commit_every", "stop_after", "reconnect")
_LIMITS = ("seconds", "rows", "bytes", "idle")
_RECONNECT = ("attempts", "delay")
_FORMATS = ("sse", "ndjson", "jsonl")
_TEXT = re.compile(r"^(\d+(?:\.\d+)?) ?(s|m|h|rows|kb|mb)$", re.IGNORECASE)
_UNITS = {"s": ("seconds", 1), "m": ("seconds", 60), "h": ("seconds", 3600), "rows": ("rows", 1)}
_UNITS |= {"kb": ("bytes", 1000), "mb": ("bytes", 1_000_000)}


@dataclass(frozen=True)
class Limits:
    """What ends a stretch of a stream, whichever comes first; 0: nothing of the kind.

    Attributes:
        seconds: Since it began.
        rows, n_bytes: Taken.
        idle: Seconds in which nothing came.
    """

    seconds: float = 0
    rows: int = 0
    n_bytes: int = 0
    idle: float = 0


@dataclass(frozen=True)
class StreamRules:
    """How a stream is followed.

    Attributes:
        is_sse: Server-sent events, or else JSON lines.
        commit_every: What one run takes.
        stop_after: What all runs of `headrace.follow` take together; also a run that is alone.
        attempts: Connections in a row that bring nothing before it is an error; 0: the end of the answer is the stream's end.
        delay_s: Before a connection is made again, unless the server says another time.
    """

    is_sse: bool
    commit_every: Limits
    stop_after: Limits
    attempts: int
    delay_s: float


def expand_stream(made: dict[str, Any], given: Any, where: str) -> tuple[dict[str, Any], StreamRules]:
    """The endpoint as dlt knows it, and the rest."""
    own = known({"format": given} if isinstance(given, str) else given, _KEYS, where)
    if "paginator" in made:
        raise ConfigurationError(f"`{where}` has no pages: take `paginator` out of the endpoint")
    of_endpoint: Any = made.get("headers") or {}
    headers = {"Cache-Control": "no-cache", "Accept-Encoding": "identity", **of_endpoint}
    made |= {"paginator": "single_page", "headers": headers}
    made.setdefault("data_selector", "$")
    is_sse = one_of(own.get("format"), _FORMATS, f"{where}.format") == "sse"
    if "commit_every" not in own and "stop_after" not in own:
        raise ConfigurationError(f"`{where}` needs `commit_every` or `stop_after`: a run of a stream ends by them")
    again = own.get("reconnect", is_sse)
    again = {} if again is True else {"attempts": 0} if again is False else again
    again = known(again, _RECONNECT, f"{where}.reconnect")
    return made, StreamRules(
        is_sse=is_sse,
        commit_every=_limits(own.get("commit_every", {}), f"{where}.commit_every"),
        stop_after=_limits(own.get("stop_after", {}), f"{where}.stop_after"),
        attempts=int(number(again.get("attempts", 5), f"{where}.reconnect.attempts")),
        delay_s=number(again.get("delay", 3), f"{where}.reconnect.delay"),
    )


def _limits(given: Any, where: str) -> Limits:
    if isinstance(given, str):
        found = _TEXT.match(given)
        if found is None:
            raise ConfigurationError(
                f"`{where}` must be as '10s', '5m', '1h', '1000 rows' or '8mb', or a dictionary, not {given!r}"
            )
        key, factor = _UNITS[found[2].lower()]
        given = {key: float(found[1]) * factor}
    elif isinstance(given, (int, float)) and not isinstance(given, bool):
        given = {"seconds": given}
    own = {key: number(value, f"{where}.{key}", 0.001) for key, value in known(given, _LIMITS, where).items()}
    return Limits(own.get("seconds", 0), int(own.get("rows", 0)), int(own.get("bytes", 0)), own.get("idle", 0))
