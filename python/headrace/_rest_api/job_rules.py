"""`job` of an endpoint: what it says of a job that is created, followed until it is done, and read.

docs/more-than-get.md describes the keys, _rest_api/async_job.py does it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace._rest_api.option_values import known, number, path, text
from headrace.exceptions import ConfigurationError

_KEYS = ("create", "status", "done", "failed", "error", "poll", "download")
_CREATE = ("path", "method", "json", "data", "params", "headers")
_STATUS = ("path", "url", "state")
_DOWNLOAD = ("path", "url")
_POLL = ("every", "max", "timeout")
FIELD = re.compile(r"\{([^{}]+)\}")  # of a path


@dataclass(frozen=True)
class Place:
    """Where the next request goes: a path with `{jsonpath}` fields, or a jsonpath to URLs; neither: a Location header."""

    path: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class JobRules:
    """How a job is followed.

    Attributes:
        status: Where its state is asked for.
        state: jsonpath of the state in the answer.
        done, failed: States, in lower case. Without `done` an answer of status 200 (and not 202) is done.
        error: jsonpath of the text of a failure; None: the answer.
        download: Where the results are; None: the answer that says it is done has them.
        every_s, max_s: First and longest wait between two questions; a server's Retry-After counts for more.
        timeout_s: For all of it, from the creation on.
    """

    status: Place
    state: str
    done: frozenset[str]
    failed: frozenset[str]
    error: str | None
    download: Place | None
    every_s: float
    max_s: float
    timeout_s: float


def expand_job(made: dict[str, Any], given: Any, where: str) -> tuple[dict[str, Any], JobRules]:
    """The endpoint as dlt knows it, which creates the job, and the rest."""
    own = known(given, _KEYS, where)
    create = known(own.get("create", {}), _CREATE, f"{where}.create")
    for key in create:
        if key in made:
            raise ConfigurationError(f"`{key}` stands in the endpoint and in `{where}.create`")
    made |= create
    made.setdefault("method", "POST")
    status = known(own.get("status", {}), _STATUS, f"{where}.status")
    poll = known(own.get("poll", {}), _POLL, f"{where}.poll")
    every = number(poll.get("every", 1), f"{where}.poll.every", 0.01)
    download = (
        _place(known(own["download"], _DOWNLOAD, f"{where}.download"), f"{where}.download")
        if "download" in own
        else None
    )
    if download == Place():
        raise ConfigurationError(f"`{where}.download` needs `url` or `path`")
    if "failed" in own and "done" not in own:
        raise ConfigurationError(f"`{where}` needs `done`: the states of a job that has ended well")
    return made, JobRules(
        status=_place(status, f"{where}.status"),
        state=path(status.get("state", "status"), f"{where}.status.state"),
        done=_states(own.get("done", []), f"{where}.done"),
        failed=_states(own.get("failed", []), f"{where}.failed"),
        error=path(own["error"], f"{where}.error") if "error" in own else None,
        download=download,
        every_s=every,
        max_s=max(every, number(poll.get("max", 30), f"{where}.poll.max", 0.01)),
        timeout_s=number(poll.get("timeout", 3600), f"{where}.poll.timeout", 0.01),
    )


def _place(own: Mapping[str, Any], where: str) -> Place:
    if "path" in own and "url" in own:
        raise ConfigurationError(f"`{where}` may have `path` or `url`, not both")
    to = text(own["path"], f"{where}.path") if "path" in own else None
    for field in FIELD.findall(to or ""):
        path(field, f"{where}.path")
    return Place(to, path(own["url"], f"{where}.url") if "url" in own else None)


def _states(given: Any, where: str) -> frozenset[str]:
    listed = given if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(one, (str, bool, int)) for one in listed):
        raise ConfigurationError(f"`{where}` must be a state or a list of states, not {given!r}")
    return frozenset(str(one).lower() for one in listed)
