"""A server of Authlib's whose refresh tokens are good for one time: the one that is given back is kept, and used next."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import headrace.sources.rest_api as rest_api
import programs
import pytest
import requests
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import make_pipeline, read_tables

pytestmark = pytest.mark.skipif(
    not ((programs.OIDC / "authlib").is_dir() and programs.has("flask")),
    reason="requirements-oidc.txt and requirements-servers.txt",
)
CLIENT = ("me", "s3cret/%")


@pytest.fixture
def url() -> Iterator[str]:
    with programs.rotation() as server:
        yield server.url


def asked(url: str, **fields: str) -> requests.Response:
    """What the server says to this grant."""
    return requests.post(f"{url}/token", data=fields, auth=CLIENT, timeout=60)


def first_token(url: str) -> str:
    """The refresh token that a user has got."""
    return str(asked(url, grant_type="password", username="somebody", password="pass").json()["refresh_token"])


def is_refused(url: str, token: str) -> bool:
    """Whether a refresh token has had its use."""
    answer = asked(url, grant_type="refresh_token", refresh_token=token)
    return (answer.status_code, answer.json().get("error")) == (400, "invalid_grant")


def stored(folder: Path) -> str:
    """The refresh token that was kept."""
    (file,) = folder.glob("*.json")
    return str(json.loads(file.read_text())["refresh_token"])


def auth_of(url: str, token: str, store: Path) -> dict[str, Any]:
    """The configuration, which always has the first token."""
    return {
        "grant": "refresh_token",
        "token_url": f"{url}/token",
        "client_id": CLIENT[0],
        "client_secret": CLIENT[1],
        "client_auth": "basic",
        "refresh_token": token,
        "token_store": str(store),
    }


def load(folder: Path, url: str, token: str, store: Path) -> list[tuple[int, int]]:
    """Pages, and how many refresh tokens had been used when each was given."""
    paginator = {"type": "cursor", "cursor_path": "next", "cursor_param": "page"}
    config: Any = {
        "client": {"base_url": url, "auth": {"type": "oauth2", **auth_of(url, token, store)}, "paginator": paginator},
        "resources": [{"name": "items", "endpoint": {"data_selector": "items"}}],
    }
    pipeline = make_pipeline(folder, "p")
    pipeline.run(rest_api.rest_api_source(config, name="api"))
    return sorted((row["page"], row["n_refreshed"]) for row in read_tables(pipeline)["items"])


def test_each_refresh_token_is_used_once_and_the_next_one_kept(url: str, tmp_path: Path, native_only: Any) -> None:
    token, store = first_token(url), tmp_path / "tokens"
    assert load(tmp_path / "1", url, token, store) == [(0, 1), (1, 2), (2, 3)]  # an access token a page
    kept = stored(store)
    assert kept != token
    assert load(tmp_path / "2", url, token, store) == [(0, 4), (1, 5), (2, 6)]
    assert is_refused(url, token)
    assert is_refused(url, kept)
    assert not is_refused(url, stored(store))


def test_a_token_that_was_used_elsewhere_is_told(url: str, tmp_path: Path) -> None:
    token, store = first_token(url), tmp_path / "tokens"
    assert load(tmp_path / "1", url, token, store)
    kept = stored(store)
    assert not is_refused(url, kept)  # somebody has used it
    with pytest.raises(PipelineStepFailed, match=r"/token: status 400: invalid_grant") as caught:
        load(tmp_path / "2", url, token, store)
    text = "".join(traceback.format_exception(caught.value))
    assert not any(secret in text for secret in (token, kept, CLIENT[1]))


_ASKS = """
import json, sys
import requests
from headrace.auth import OAuth2
url, auth = sys.argv[1], json.loads(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    requests.get(f"{url}/items", auth=OAuth2(**auth), timeout=60).raise_for_status()
"""


def test_processes_that_share_a_store_use_no_token_twice(url: str, tmp_path: Path) -> None:
    token, store = first_token(url), tmp_path / "tokens"
    command = [sys.executable, "-c", _ASKS, url, json.dumps(auth_of(url, token, store))]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(3)]
    assert [one.stdout.readline() for one in processes if one.stdout] == ["ready\n"] * 3
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    told = [one.communicate()[1] for one in processes]
    assert [one.returncode for one in processes] == [0] * 3, told
    assert is_refused(url, token)
    assert not is_refused(url, stored(store))
