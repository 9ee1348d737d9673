"""The configurations of the docs that are there to be copied: each is taken by the source, each key of config.toml is known."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import headrace.sources.rest_api as rest_api
import pytest
import tomlkit
from headrace._rest_api.api_sections import _INNER
from headrace._rest_api.options import CLIENT_KEYS, ENDPOINT_KEYS
from headrace.config import HeadraceConfiguration

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("rate-limits", "retries", "truncation", "networks", "authentication", "more-than-get", "in-flight", "rest-api")
BLOCK = re.compile(r"^```(python|toml)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(kind: str) -> list[Any]:
    """The blocks of the pages, each with its place."""
    found = []
    for page in PAGES:
        text = (DOCS / f"{page}.md").read_text("utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == kind:
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match[2], id=f"{page}.md:{line}"))
    return found


class Values(defaultdict[str, str]):
    """dlt.secrets: whatever is asked for."""

    def __missing__(self, key: str) -> str:
        return "http://proxy:1" if key == "proxy" else "secret"


def whole(given: dict[str, Any]) -> Any:
    """A configuration that what is shown is a part of."""
    if not {"client", "resources", "resource_defaults"} & given.keys():
        key = "endpoint" if {"path", "graphql", "job", "response"} & given.keys() else "client"
        given = {"client": given} if key == "client" else {"resources": [{"name": "items", "endpoint": given}]}
    made = {"client": {}, "resources": ["items"], **given}
    made["client"] = {"base_url": "https://api.example.com", **made["client"]}
    return made


@pytest.mark.parametrize("text", blocks("python"))
def test_python(text: str, monkeypatch: Any) -> None:
    if text.lstrip().startswith(("import", "from")):
        compile(text, "docs", "exec")
        return
    for name in ("CLIENT_ID", "PRIVATE_KEY"):  # what the page has in secrets.toml
        monkeypatch.setenv(f"SOURCES__REST_API__API__CREDENTIALS__{name}", "me")
    code = text if text.lstrip().startswith("{") else f"{{{text}}}"
    given: Any = eval(code, {"dlt": SimpleNamespace(secrets=Values(str))})
    made = whole(given)
    if "{incremental." in text:  # shown elsewhere on the page
        made["resources"][0]["endpoint"].setdefault("incremental", {"cursor_path": "at", "initial_value": "2024"})
    source = rest_api.rest_api_source(made, name="api")
    assert source.resources


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml(text: str) -> None:
    known = set(HeadraceConfiguration.get_resolvable_fields())
    for key, value in tomlkit.parse(text).unwrap().get("headrace", {}).items():
        if key != "api":
            assert key in known
            continue
        for of_source in value.values():
            for name, one in of_source.items():
                if name not in CLIENT_KEYS:
                    assert set(one) <= set(ENDPOINT_KEYS), name
                elif name in _INNER and isinstance(one, dict):
                    assert set(one) <= set(_INNER[name]), name
