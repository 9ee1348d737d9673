"""Loads whose records the engine normalizes though it is not installed: those that its own sources left to that step."""

from __future__ import annotations

from collections import OrderedDict

_MOST = 1000  # older ones are forgotten

_taken: OrderedDict[str, None] = OrderedDict()


def take(load_id: str) -> None:
    """Has the engine normalize this load's records, if `_install` lets it."""
    from headrace import _install

    _taken[load_id] = None
    while len(_taken) > _MOST:
        _taken.popitem(last=False)
    _install.place_for_loads()


def is_taken(load_id: str) -> bool:
    """Whether the load's records are the engine's."""
    return load_id in _taken
