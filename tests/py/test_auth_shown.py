"""Secrets are in no log at DEBUG, on no terminal, in no trace, in no file of the pipeline: each authentication, right and wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import headrace.sources.rest_api as rest_api
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import make_pipeline
from servers import Answer, Request

SECRET = "s3cr3t-v4lue"  # all secrets have it in them
TOKEN = "t0k3n-fr0m-server"
REFRESH = "r3fr3sh-fr0m-server"

URL = "http://127.0.0.1:PORT"
OAUTH = {"type": "oauth2", "token_url": f"{URL}/token", "client_id": "me"}
AUTHS: dict[str, Any] = {
    "bearer": {"type": "bearer", "token": SECRET},
    "api_key": {"type": "api_key", "name": "X-Key", "api_key": SECRET},
    "api_key_query": {"type": "api_key", "name": "key", "api_key": SECRET, "location": "query"},
    "api_key_cookie": {"type": "api_key", "name": "sid", "api_key": SECRET, "location": "cookie"},
    "basic": {"type": "http_basic", "username": "me", "password": SECRET},
    "digest": {"type": "http_digest", "username": "me", "password": SECRET},
    "sigv4": {"type": "aws_sigv4", "access_key": "ak", "secret_key": SECRET, "session_token": f"{SECRET}-st"},
    "login": {
        "type": "session_login",
        "login_url": f"{URL}/login",
        "username": "u",
        "password": SECRET,
        "token_path": "t",
    },
    "client": {**OAUTH, "client_secret": SECRET},
    "basic_client": {**OAUTH, "client_secret": SECRET, "client_auth": "basic"},
    "password": {**OAUTH, "grant": "password", "username": "u", "password": SECRET},
    "refresh": {**OAUTH, "grant": "refresh_token", "refresh_token": SECRET, "token_store": "STORE"},
    "jwt": {**OAUTH, "grant": "jwt_bearer", "private_key": f"{SECRET}-{'x' * 40}", "algorithm": "HS256"},
    "several": {
        "type": "several",
        "auths": [
            {"type": "api_key", "name": "X-Key", "api_key": SECRET},
            {"type": "api_key", "name": "key", "api_key": f"{SECRET}-2", "location": "query"},
        ],
    },
}


@pytest.fixture
def everything() -> Iterator[list[str]]:
    """All that anybody logs, at DEBUG."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    loggers = [logging.getLogger(), logging.getLogger("dlt"), logging.getLogger("urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(handler)
    loggers[1].addHandler(handler)
    yield lines
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
        logger.removeHandler(handler)


def made(url: str, store: Path, name: str) -> Any:
    text = json.dumps(AUTHS[name]).replace(URL, url).replace("STORE", str(store))
    paginator = {"type": "page_number", "base_page": 0, "total_path": "total"}
    endpoint = {"path": "items", "data_selector": "items", "paginator": paginator}
    return {
        "client": {"base_url": url, "auth": json.loads(text)},
        "resources": [{"name": "items", "endpoint": endpoint}],
    }


@pytest.mark.parametrize("is_refused", [False, True])
@pytest.mark.parametrize("name", list(AUTHS))
def test_nothing_is_shown(
    api: Any, tmp_path: Path, monkeypatch: Any, everything: list[str], capfd: Any, name: str, is_refused: bool
) -> None:
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "DEBUG")
    seen: list[str] = []

    def handler(request: Request) -> Answer:
        seen.append(f"{request.headers} {request.query} {request.body!r}")
        if name == "digest" and "Authorization" not in request.headers:
            return Answer({}, status=401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
        if is_refused and (request.path == "/items" or name in ("password", "refresh")):
            return Answer({"error": "invalid", "error_description": "no"}, status=401)
        if request.path == "/login":
            return Answer({"t": TOKEN})
        if request.path == "/token":
            return Answer({"access_token": TOKEN, "expires_in": 3600, "refresh_token": REFRESH})
        return Answer({"total": 3, "items": [{"id": int(request.query["page"])}]})

    store = tmp_path / "tokens"
    run = tmp_path / "run"
    pipeline = make_pipeline(run, "p")
    source = rest_api.rest_api_source(made(api(handler).url, store, name), name="api")
    shown: list[str] = []
    if is_refused:
        with pytest.raises(PipelineStepFailed) as caught:
            pipeline.extract(source)
        shown.append(str(caught.value))
    else:
        pipeline.extract(source)
        pipeline.normalize()
    trace: Any = pipeline.last_trace
    shown += [*everything, *capfd.readouterr(), str(trace), repr(trace), json.dumps(trace.asdict(), default=str)]
    shown += [path.read_bytes().decode("latin-1") for path in run.rglob("*") if path.is_file()]
    assert any(one in " ".join(seen) for one in (SECRET, TOKEN, "Basic", "AWS4", "Digest", "assertion", "xxx"))
    for text in shown:
        for secret in (SECRET, TOKEN, REFRESH):
            assert secret not in text, text[max(text.find(secret) - 300, 0) : text.find(secret) + 50]
