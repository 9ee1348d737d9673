"""httpbin, as anybody runs it: the same configuration through dlt's rest_api and headrace, tables equal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import headrace.sources.rest_api as rest_api
import programs
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import make_pipeline, read_tables, run_both

pytestmark = pytest.mark.skipif(not programs.has("httpbin", "gunicorn"), reason="requirements-servers.txt")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with programs.httpbin() as server:
        yield server.url


# Said here, because they are the connection's own: libcurl sends no `Connection: keep-alive`, and asks for what it can decode.
HEADERS = {"X-Own": "é,1", "Connection": "close", "Accept-Encoding": "identity"}


def resource(name: str, path: str, **endpoint: Any) -> Any:
    return {"name": name, "endpoint": {"path": path, "paginator": "single_page", **endpoint}}


def test_what_is_sent_and_read_is_the_same(url: str, tmp_path: Path, native_only: Any) -> None:
    """`anything` answers with the request: method, URL, headers, body are rows of the tables."""

    def made() -> Any:
        return {
            "client": {"base_url": url, "headers": HEADERS, "auth": {"type": "bearer", "token": "t0ken"}},
            "resources": [
                resource("sent", "anything/a b/ü", params={"q": "x y&z", "n": 1, "flag": True}),
                resource("posted", "anything", method="POST", json={"a": [1, {"b": "é"}], "c": None}),
                resource("form", "anything", method="POST", data={"a": "x y", "b": "&="}),
                resource(
                    "numbered",
                    "anything",
                    paginator={"type": "page_number", "base_page": 1, "maximum_page": 9, "total_path": None},
                ),
                resource(
                    "steps",
                    "anything",
                    paginator={"type": "offset", "limit": 7, "maximum_offset": 50, "total_path": None},
                ),
                resource("nested", "json"),
                resource("gzip", "gzip"),
                resource("deflate", "deflate"),
                resource("brotli", "brotli"),
                resource("redirected", "redirect/3"),
                resource("elsewhere", "redirect-to", params={"url": "/anything?x=1", "status_code": 307}),
                resource("cookies", "cookies/set", params={"sid": "1"}),
                resource("bearer", "bearer"),
                resource("missing", "status/404", response_actions=IGNORED),
            ],
        }

    run_both(made, tmp_path)


IGNORED = [{"status_code": 404, "action": "ignore"}, {"status_code": 200, "action": "ignore"}]


AUTHS: dict[str, tuple[str, Any]] = {
    "basic": ("basic-auth/me/pa55", {"type": "http_basic", "username": "me", "password": "pa55"}),
    "digest": ("digest-auth/auth/me/pa55", {"type": "http_digest", "username": "me", "password": "pa55"}),
    "digest_sha256": (
        "digest-auth/auth/me/pa55/SHA-256",
        {"type": "http_digest", "username": "me", "password": "pa55"},
    ),
    "hidden": ("hidden-basic-auth/me/pa55", {"type": "http_basic", "username": "me", "password": "pa55"}),
}


@pytest.mark.parametrize("name", list(AUTHS))
def test_authentications(url: str, tmp_path: Path, name: str) -> None:
    path, auth = AUTHS[name]
    made = {"client": {"base_url": url, "auth": auth}, "resources": [resource("items", path)]}
    pipeline = make_pipeline(tmp_path / "right", "p")
    pipeline.run(rest_api.rest_api_source(made, name="api"))
    assert read_tables(pipeline)["items"][0]["user"] == "me"
    made["client"]["auth"]["password"] = "wr0ng"
    with pytest.raises(PipelineStepFailed, match=r"40[14] Client Error") as caught:
        make_pipeline(tmp_path / "wrong", "p").extract(rest_api.rest_api_source(made, name="api"))
    assert "wr0ng" not in str(caught.value)


def test_statuses_are_tried_again(url: str, tmp_path: Path, native_only: Any) -> None:
    """httpbin takes one of the statuses by chance: asked often enough, 200 comes (one of 20 times it does not in 2^-20)."""
    retry = {"max_attempts": 20, "backoff": 0.001, "statuses": [500]}
    made = {
        "client": {"base_url": url, "retry": retry},
        "resources": [resource("items", "status/200,500", response_actions=[{"status_code": 200, "action": "ignore"}])],
    }
    make_pipeline(tmp_path, "p").extract(rest_api.rest_api_source(made, name="api"))
