"""Values of headrace's own keys in a configuration: each is checked once, with an error that names the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlt.common import jsonpath

from headrace.exceptions import ConfigurationError

_MOST = 1e9  # of a number


def known(given: Any, keys: tuple[str, ...], where: str) -> Mapping[str, Any]:
    """A dictionary that has no other keys than these."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"`{where}` must be a dictionary, not {type(given).__name__}")
    for key in given:
        if key not in keys:
            raise ConfigurationError(f"`{where}.{key}` is not known. Known are: {', '.join(keys)}")
    return given


def number(given: Any, where: str, least: float = 0) -> float:
    """A number of at least `least`, at most 1e9."""
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not least <= given <= _MOST:
        bound = f"most {_MOST:g}" if type(given) in (int, float) and given > _MOST else f"least {least:g}"
        raise ConfigurationError(f"`{where}` must be a number of at {bound}, not {given!r}")
    return given


def millis(given: Any, where: str) -> int:
    """Milliseconds, of a number of seconds."""
    return min(int(number(given, where) * 1000), 0xFFFFFFFF)


def one_of(given: Any, choices: tuple[str, ...], where: str) -> str:
    """One of these texts."""
    if given not in choices:
        raise ConfigurationError(f"`{where}` must be one of {', '.join(choices)}, not {given!r}")
    return str(given)


def text(given: Any, where: str) -> str:
    """A text that is not empty."""
    if not isinstance(given, str) or not given:
        raise ConfigurationError(f"`{where}` must be a text, not {given!r}")
    return given


def texts(given: Any, where: str, expected: str = "a list of texts", least: int = 0) -> tuple[str, ...]:
    """A list of texts, at least so many."""
    if not isinstance(given, (list, tuple)) or len(given) < least or not all(isinstance(one, str) for one in given):
        raise ConfigurationError(f"`{where}` must be {expected}, not {given!r}")
    return tuple(given)


def path(given: Any, where: str) -> str:
    """A jsonpath."""
    found = text(given, where)
    try:
        jsonpath.compile_path(found)
    except Exception as error:
        raise ConfigurationError(f"`{where}` must be a jsonpath, not {given!r}: {error}") from None
    return found
