"""What is left out of a run because it failed, so that the rest can be loaded: `on_error` (docs/truncation.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, TypedDict

import dlt
import requests
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.pipeline import StateInjectableContext

from headrace import _core
from headrace.exceptions import HeadraceError, mask_text

STATE_KEY = "headrace_skipped"  # in dlt's state of the resource
MOST_SKIPPED = 1000  # parents of a resource in a run; more are an error
_FATAL = ("MEMORY", "CANCELLED", "INTERNAL", "ARGUMENT")
_SHOWN = 300  # characters of an error


class Skipped(TypedDict):
    """What was left out.

    Attributes:
        parent: The parent's fields that its requests are made of; None: the whole resource.
        url: What was asked for, without secrets; "" if no request was made.
        error: Why.
        again: How it is fetched again.
    """

    parent: Any
    url: str
    error: str
    again: str


def skipped(pipeline: dlt.Pipeline) -> dict[str, list[Skipped]]:
    """What runs of a pipeline left out by `on_error` and no later run has fetched, by its state.

    Args:
        pipeline: The pipeline; one that `dlt.attach` gives, too.

    Returns:
        A list for each `<source>.<resource>` of which something is missing; empty: nothing is.
    """
    found: dict[str, list[Skipped]] = {}
    for source, of_source in pipeline.state.get("sources", {}).items():
        for resource, of_resource in of_source.get("resources", {}).items():
            if left_out := of_resource.get(STATE_KEY):
                found[f"{source}.{resource}"] = deepcopy(left_out)
    return found


def may_skip(error: BaseException) -> bool:
    """Whether an error is one of the API's, not of the configuration, the user's code or this machine."""
    if not isinstance(error, (requests.RequestException, HeadraceError)):
        return False
    cause = error.__cause__
    return not (isinstance(cause, _core.Error) and cause.code in _FATAL)


def record_of(parent: Any, url: str, error: BaseException) -> Skipped:
    """A record of what is left out."""
    text = mask_text(str(error))
    again = (
        "the next run asks for it first" if parent is not None else "the next run asks for it: its state is as before"
    )
    return {"parent": parent, "url": url, "error": text[:_SHOWN], "again": again}


def _look_at(resource: str) -> Any:
    """dlt's state of a resource; what is not there is not made, for dlt would then store it."""
    container = Container()
    sources = container[StateInjectableContext].state.get("sources", {})
    source = sources.get(container[ConfigSectionContext].source_state_key, {})
    return source.get("resources", {}).get(resource, {})


def is_left_out(resource: str) -> bool:
    """Whether the run before left something of the resource out."""
    return bool(_look_at(resource).get(STATE_KEY))


class Memory:
    """What dlt's state of a resource held before a run, and what the run adds to it."""

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._incremental = deepcopy(_look_at(self._resource).get("incremental"))

    def _state(self) -> Any:
        return dlt.current.resource_state(self._resource)

    def take_parents(self) -> list[Any]:
        """The parents that the run before had left out: no longer in the state."""
        return [one["parent"] for one in _look_at(self._resource).pop(STATE_KEY, []) if one["parent"] is not None]

    def forget(self) -> None:
        """The resource is complete again."""
        _look_at(self._resource).pop(STATE_KEY, None)

    def keep(self, found: Iterable[Skipped]) -> None:
        """Writes down what was left out, and puts the incremental back to where it was: what is below the new cursor has not
        all been loaded.
        """
        state = self._state()
        state[STATE_KEY] = [*state.get(STATE_KEY, []), *found]
        state.pop("incremental", None)
        if self._incremental is not None:
            state["incremental"] = deepcopy(self._incremental)


def identity(parent: Any, keys: list[str] | None) -> Any:
    """The fields of a parent that its children's requests are made of; None: all of them."""
    if keys is None or not isinstance(parent, dict):
        return parent
    return {key: parent[key] for key in keys if key in parent}


def text_of(parent: Any) -> str:
    """A parent's fields as text, to compare by."""
    return json.dumps(parent, sort_keys=True, default=str)
