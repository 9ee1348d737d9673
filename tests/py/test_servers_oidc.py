"""oidc-provider-mock, an OAuth2 server over Authlib: access by a refresh token, and access tokens that it checks."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import headrace.sources.rest_api as rest_api
import programs
import pytest
import requests
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import make_pipeline, read_tables

pytestmark = pytest.mark.skipif(
    not ((programs.OIDC / "oidc_provider_mock").is_dir() and programs.has("flask", "uvicorn", "httpx")),
    reason="requirements-oidc.txt and requirements-servers.txt",
)
CLIENT = ("me", "s3cret/%")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with programs.oidc() as server:
        yield server.url


def refresh_token_of(url: str, user: str) -> str:
    """What the server gives for a user who says yes in a browser."""
    requests.put(f"{url}/users/{user}", json={"email": f"{user}@example.com"}, timeout=60).raise_for_status()
    asked = {"client_id": CLIENT[0], "redirect_uri": "http://here/", "response_type": "code", "scope": "openid email"}
    said = requests.post(f"{url}/oauth2/authorize", params=asked, data={"sub": user}, allow_redirects=False, timeout=60)
    code = parse_qs(urlsplit(said.headers["Location"]).query)["code"][0]
    wanted = {"grant_type": "authorization_code", "code": code, "redirect_uri": asked["redirect_uri"]}
    given = requests.post(f"{url}/oauth2/token", data=wanted, auth=CLIENT, timeout=60)
    given.raise_for_status()
    return str(given.json()["refresh_token"])


def load(folder: Path, url: str, token: str, store: Path) -> list[Any]:
    """The user whose access it is, as the server says."""
    auth = {
        "type": "oauth2",
        "grant": "refresh_token",
        "token_url": f"{url}/oauth2/token",
        "client_id": CLIENT[0],
        "client_secret": CLIENT[1],
        "client_auth": "basic",
        "refresh_token": token,
        "token_store": str(store),
    }
    endpoint = {"path": "userinfo", "data_selector": "$", "paginator": "single_page"}
    config: Any = {"client": {"base_url": url, "auth": auth}, "resources": [{"name": "user", "endpoint": endpoint}]}
    pipeline = make_pipeline(folder, "p")
    pipeline.run(rest_api.rest_api_source(config, name="api"))
    return [row["email"] for row in read_tables(pipeline)["user"]]


def test_a_refresh_token_gives_access_run_after_run(url: str, tmp_path: Path, native_only: Any) -> None:
    token = refresh_token_of(url, "somebody")
    for run in range(2):
        assert load(tmp_path / str(run), url, token, tmp_path / "tokens") == ["somebody@example.com"]


def test_access_that_was_taken_back_is_told(url: str, tmp_path: Path) -> None:
    token = refresh_token_of(url, "gone")
    assert load(tmp_path / "1", url, token, tmp_path / "tokens") == ["gone@example.com"]
    requests.post(f"{url}/users/gone/revoke-tokens", timeout=60).raise_for_status()
    with pytest.raises(PipelineStepFailed, match=r"oauth2/token: status 400: invalid_grant") as caught:
        load(tmp_path / "2", url, token, tmp_path / "tokens")
    text = "".join(traceback.format_exception(caught.value))
    assert token not in text and CLIENT[1] not in text
    assert all(kept.read_text() not in text for kept in (tmp_path / "tokens").glob("*.json"))


def test_a_wrong_token_is_refused(url: str, tmp_path: Path) -> None:
    endpoint = {"path": "userinfo", "data_selector": "$", "paginator": "single_page"}
    client = {"base_url": url, "auth": {"type": "bearer", "token": "wr0ng"}}
    config: Any = {"client": client, "resources": [{"name": "user", "endpoint": endpoint}]}
    with pytest.raises(PipelineStepFailed, match=r"400 Client Error: Bad Request for url: .*/userinfo") as caught:
        make_pipeline(tmp_path, "p").extract(rest_api.rest_api_source(config, name="api"))
    assert "wr0ng" not in "".join(traceback.format_exception(caught.value))
