"""Each fault of the faults server over HTTP/1.1, HTTP/1.1 over TLS and HTTP/2 over TLS: the same outcome, but for the words of what
is no HTTP. (Cuts at each byte: test_core_cuts.py; streams and connections of HTTP/2: test_core_http2.py.)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from faults import Faults
from headrace import _core


class Outcome(NamedTuple):
    """What a request ends in.

    Attributes:
        status: Of the answer, or of what has come of it.
        attempts: Requests that were made.
        ids: Of the records; None: there are none.
        code: Of the error; "": none.
        words: Of its message.
    """

    status: int
    attempts: int = 1
    ids: list[int] | None = None
    code: str = ""
    words: str = ""


class Way(NamedTuple):
    """How the server is asked."""

    url: str
    options: dict[str, Any]
    is_http2: bool


OK = [0, 1, 2]
TWICE = {"max_attempts": 2}
CASES: dict[str, tuple[str, dict[str, Any], Outcome]] = {
    "slow": ("/slow?ms=20", {}, Outcome(200, ids=OK)),
    "no such path": ("/status/404", TWICE, Outcome(404)),
    "refused for good": ("/status/401", TWICE, Outcome(401)),
    "500 and again": ("/status/500?times=2", {"max_attempts": 3}, Outcome(200, 3, OK)),
    "503 for good": ("/status/503", {"max_attempts": 3}, Outcome(503, 3)),
    "429 with a time": ("/retry-after?seconds=0&times=1", TWICE, Outcome(200, 2, OK)),
    "429 with a date": ("/retry-after?seconds=0&times=1&date=1", TWICE, Outcome(200, 2, OK)),
    "silence": ("/hang", {"read_timeout_ms": 200}, Outcome(0, code="TIMEOUT", words="no answer from")),
    "silence in the body": (
        "/hang-body",
        {"read_timeout_ms": 200},
        Outcome(200, code="TIMEOUT", words="after 1 bytes of the body"),
    ),
    "closed": ("/close", TWICE, Outcome(0, 2, code="NETWORK", words="closed before an answer came")),
    "no HTTP": ("/garbage", TWICE, Outcome(0, 2, code="NETWORK")),
    "reset in the body": ("/reset?sent=1024", TWICE, Outcome(200, 2, code="NETWORK", words="1024 bytes")),
    "a shorter body": ("/short?sent=100&length=200", TWICE, Outcome(200, 2, code="NETWORK")),
    "redirects": ("/redirect/3", {}, Outcome(200, ids=OK)),
    "a redirect that ends nowhere": (
        "/redirect-loop",
        TWICE,
        Outcome(302, code="REDIRECT", words="more than 30 times"),
    ),
    "a redirect to another scheme": ("/redirect-to?url=ftp://h/", TWICE, Outcome(302, code="REDIRECT", words="ftp")),
    "a redirect to a host that is not allowed": (
        "/redirect-to?url=http://other.example/",
        {"allowed_hosts": "127.0.0.1\nlocalhost"},
        Outcome(302, code="REDIRECT", words="other.example, which is not one of the allowed hosts"),
    ),
    "gzip": ("/gzip", {}, Outcome(200, ids=OK)),
    "deflate": ("/deflate", {}, Outcome(200, ids=OK)),
    "a bomb": ("/bomb?bytes=4194304", {"max_body_bytes": 1 << 20}, Outcome(200, code="LIMIT", words="max_body_bytes")),
    "too large": (
        "/big?bytes=2000000",
        {"max_body_bytes": 1 << 20},
        Outcome(200, code="LIMIT", words="max_body_bytes"),
    ),
    "not JSON": ("/big?bytes=100", {}, Outcome(200, code="SYNTAX", words="expected a value")),
    "drop by drop": ("/drip?n=5&ms=5", {"read_timeout_ms": 2000}, Outcome(200, code="SYNTAX", words="found 'x'")),
    "many headers": ("/many-headers?n=200", {}, Outcome(200, ids=[])),
}


@pytest.fixture(params=["http/1.1", "http/1.1 tls", "h2"])
def way(request: pytest.FixtureRequest, faults: Faults, http2: Callable[..., Any]) -> Way:
    """Each of the ways to the same server."""
    if request.param == "http/1.1":
        return Way(faults.url, {}, False)
    if request.param == "http/1.1 tls":
        return Way(faults.tls_url, {"ca_path": faults.cert}, False)
    return Way(http2(behind=f"127.0.0.1:{faults.port}").url, {"ca_path": faults.cert}, True)


@pytest.mark.parametrize("name", CASES)
def test_outcome(fetcher: Any, faults: Faults, way: Way, name: str) -> None:
    path, options, expected = CASES[name]
    faults.seen.clear()
    page: _core.Page = fetcher().get(way.url + path, **way.options, **options)
    found = [record["id"] for record in json.loads(page.project(None))] if page.decoded and not page.error else None
    code = page.error.code if page.error is not None else ""
    assert (page.status, page.attempts, found, code) == expected[:4], page.error
    assert expected.words in str(page.error or "")
    if code:
        assert page.error.retriable == (code in ("NETWORK", "TIMEOUT"))


def test_it_is_http2(fetcher: Any, faults: Faults, http2: Any) -> None:
    """The third way is what it says, bodies of requests too."""
    server = http2(behind=f"127.0.0.1:{faults.port}")
    page = fetcher().get(f"{server.url}/echo", ca_path=faults.cert, method="POST", body=b'{"items": [{"id": 7}]}')
    assert [record["id"] for record in json.loads(page.project(None))] == [7]
    assert server.protocols == {"h2"} and server.requests[0][1][":method"] == "POST"
