"""`graphql` of an endpoint: the POST request, selector and paginator that it stands for, and what its answers may not be.

docs/more-than-get.md describes the keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace._rest_api.option_values import known, one_of, text
from headrace.exceptions import ConfigurationError, mask_text

_KEYS = ("query", "variables", "operation", "connection", "records", "cursor_variable", "on_errors")
_TAKEN = ("method", "json", "data")  # of the endpoint: what `graphql` says instead
_TOKEN = re.compile(r'"""(?:[^\\]|\\.)*?"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*|\.\.\.|\w+|[^\s,]', re.DOTALL)
_AFTER = re.compile(r"\bafter\s*:\s*\$(\w+)")
_MORE = re.compile(rb'"hasNextPage"\s*:\s*true')
_SHOWN = 3  # errors of an answer that are told
_Path = tuple[str, ...]


@dataclass(frozen=True)
class GraphQL:
    """What an answer must be.

    Attributes:
        connection: Keys from `data` to the connection; (): there is none.
        is_lenient: Errors beside data are told, not raised.
        is_nested: There are connections within the records that may have further pages.
    """

    connection: _Path
    is_lenient: bool
    is_nested: bool

    def look(self, envelope: Any, body: Callable[[], bytes]) -> tuple[str | None, str | None]:
        """What is wrong with an answer (it is an error), and what seems to be missing in it."""
        errors = envelope.get("errors") if isinstance(envelope, dict) else None
        missing = self._missing(envelope)
        if errors:
            told = f"the answer has GraphQL errors: {_told(errors)}"
            return (None, told) if self.is_lenient and missing is None else (told, None)
        if missing is not None:
            return f"expected the connection `{'.'.join(self.connection)}`, found {missing}", None
        if not self.is_nested:
            return None, None
        outer: Any = envelope
        for key in ("data", *self.connection, "pageInfo"):
            outer = outer.get(key) or {}
        n_more = len(_MORE.findall(body())) - (outer.get("hasNextPage") is True)
        if n_more <= 0:
            return None, None
        return None, (
            f"{n_more} connections within the records have further pages, which are not asked for: raise their `first`, or"
            " fetch them with a dependent resource"
        )

    def _missing(self, envelope: Any) -> str | None:
        value = envelope
        for depth, key in enumerate(("data", *self.connection)):
            if not isinstance(value, dict) or value.get(key) is None:
                found = "null" if isinstance(value, dict) and key in value else "nothing"
                return f"{found} at `{'.'.join(('data', *self.connection)[: depth + 1])}`"
            value = value[key]
        return None


def _told(errors: Any) -> str:
    found = []
    for error in errors if isinstance(errors, list) else [errors]:
        message = error.get("message") if isinstance(error, dict) else None
        path = error.get("path") if isinstance(error, dict) else None
        shown = mask_text(str(message if message is not None else json.dumps(error, default=str)))[:200]
        found.append(f"{shown} (at `{'.'.join(map(str, path))}`)" if isinstance(path, list) and path else shown)
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def expand(made: dict[str, Any], given: Any, where: str) -> tuple[dict[str, Any], GraphQL, bool]:
    """Of `made`, an endpoint of its own: as dlt knows it, the rules of its answers, and whether a request may be made again (it is
    a query).
    """
    own = known(given, _KEYS, where)
    query = text(own.get("query"), f"{where}.query")
    for key in _TAKEN:
        if key in made:
            raise ConfigurationError(f"`{where}` makes the request: take `{key}` out of the endpoint")
    variables = own.get("variables", {})
    if not isinstance(variables, Mapping):
        raise ConfigurationError(f"`{where}.variables` must be a dictionary, not {type(variables).__name__}")
    body: dict[str, Any] = {"query": query.replace("{", "{{").replace("}", "}}")}  # it holds no placeholders
    if "operation" in own:
        body["operationName"] = text(own["operation"], f"{where}.operation")
    if variables or "connection" in own:
        body["variables"] = dict(variables)
    made |= {"method": "POST", "json": body}
    is_lenient = one_of(own.get("on_errors", "raise"), ("raise", "warn"), f"{where}.on_errors") == "warn"
    paths = selected(query)
    connection: _Path = ()
    if "connection" in own:
        connection = tuple(text(own["connection"], f"{where}.connection").split("."))
        _page_on(made, own, where, connection, query, paths)
    inner = {path for path in paths or () if path[-2:] == ("pageInfo", "hasNextPage") and path[:-2] != connection}
    rules = GraphQL(connection, is_lenient, bool(connection) and (bool(inner) or paths is None))
    return made, rules, not re.search(r"\bmutation\b", query)


def _page_on(
    made: dict[str, Any], own: Mapping[str, Any], where: str, connection: _Path, query: str, paths: set[_Path] | None
) -> None:
    """Sets selector and paginator, where the endpoint has none of its own."""
    at = ".".join(("data", *connection))
    edges = "edges" if paths is not None and (*connection, "nodes") not in paths else "nodes"
    records = one_of(own.get("records", edges), ("nodes", "edges"), f"{where}.records")
    made.setdefault("data_selector", f"{at}.nodes" if records == "nodes" else f"{at}.edges[*].node")
    if "paginator" in made:
        return
    for name in ("hasNextPage", "endCursor"):
        if paths is not None and (*connection, "pageInfo", name) not in paths:
            raise ConfigurationError(
                f"`{where}.query` must ask for `pageInfo {{ hasNextPage endCursor }}` in `{'.'.join(connection)}`"
            )
    variables = sorted(set(_AFTER.findall(query)))
    found = own.get("cursor_variable", variables[0] if len(variables) == 1 else "after")
    if "cursor_variable" not in own and found not in variables:
        raise ConfigurationError(
            f"`{where}` needs `cursor_variable`: expected one variable in the query, as in `after: $after`, found"
            f" {', '.join(variables) or 'none'}"
        )
    made["paginator"] = {
        "type": "cursor",
        "cursor_path": f"{at}.pageInfo.endCursor",
        "has_more_path": f"{at}.pageInfo.hasNextPage",
        "cursor_body_path": f"variables.{text(found, f'{where}.cursor_variable')}",
    }


def selected(query: str) -> set[_Path] | None:
    """The paths of all fields that a query asks for, by the names that they have in the answer; None: it uses fragments that
    stand elsewhere.
    """
    tokens = [token for token in _TOKEN.findall(query) if token[0] not in '"#']
    found: set[_Path] = set()
    open_: list[str | None] = []  # selection sets; None adds no name: the operation's, an inline fragment's
    name: str | None = None
    depth = 0  # of parentheses
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token in "([":
            depth += 1
        elif token in ")]":
            depth -= 1
        elif depth:
            continue
        elif token == "...":
            if tokens[at : at + 1] not in (["on"], ["{"], ["@"]):
                return None
            at += 2 if tokens[at] == "on" else 0
            name = None
        elif token == "@":
            at += 1  # a directive's name
        elif token == "{":
            open_.append(name if open_ else None)
            name = None
        elif token == "}":
            if open_:
                open_.pop()
            name = None
        elif open_ and token.isidentifier():
            name = token
            found.add((*(one for one in open_ if one is not None), name))
            at += 2 if tokens[at : at + 1] == [":"] else 0  # it was an alias: the answer's name
    return found
