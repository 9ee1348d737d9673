"""HTTP/2 over TLS through `_core`: streams side by side on one connection, and what can befall them."""

import json
from typing import Any

import pytest
from faults import Faults
from headrace import _core


def ids(page: _core.Page) -> list[int]:
    """The ids of the page's records."""
    assert page.error is None, page.error
    return [record["id"] for record in json.loads(page.project(None))]


def test_requests_share_one_connection_as_streams(fetcher: Any, faults: Faults, http2: Any) -> None:
    server = http2()
    one = fetcher(first_window=16)
    for _ in range(8):  # each is answered only when all are there: only streams side by side can do that
        one.submit(f"{server.url}/together?n=8&page=1", ca_path=faults.cert)
    assert [ids(page) for page in one.pages(8)] == [list(range(10, 20))] * 8
    assert (server.connections, server.most_streams) == (1, 8)
    for n in range(5):
        page = one.get(f"{server.url}/items?page={n}", ca_path=faults.cert)
        assert ids(page)[0] == n * 10
        assert page.reason == ""  # HTTP/2 has none
    assert server.connections == 1
    assert server.protocols == {"h2"}


def test_http2_is_chosen_where_both_are_offered(fetcher: Any, faults: Faults, http2: Any) -> None:
    server = http2(protocols=("http/1.1", "h2"))  # what OpenSSL picks is the server's first that the client has too
    assert fetcher().get(f"{server.url}/items", ca_path=faults.cert).error is not None  # it speaks h2 only
    server = http2(protocols=("h2", "http/1.1"))
    assert ids(fetcher().get(f"{server.url}/items", ca_path=faults.cert)) == list(range(10))


def test_heads_over_http2(fetcher: Any, faults: Faults, http2: Any) -> None:
    server = http2()
    headers = [("X-Key", b"a b"), ("X-Empty", b""), ("Cookie", b"a=1"), ("Connection", b"keep-alive")]
    ids(fetcher().get(f"{server.url}/items", headers=headers, method="POST", body=b"{}", ca_path=faults.cert))
    ((_, sent),) = server.requests
    assert sent[":method"] == "POST"
    assert (sent["x-key"], sent["x-empty"], sent["cookie"], sent["content-length"]) == ("a b", "", "a=1", "2")
    assert not {"content-type", "expect", "connection", "transfer-encoding"} & sent.keys()


@pytest.mark.parametrize("route", ["refused", "reset-stream", "drop", "goaway"])
def test_faults_of_streams_are_retried(fetcher: Any, faults: Faults, http2: Any, route: str) -> None:
    server = http2()
    one = fetcher()
    for n in range(4):
        one.submit(f"{server.url}/{route}?page={n}", ca_path=faults.cert, max_attempts=6)
    assert [ids(page)[0] for page in one.pages(4)] == [0, 10, 20, 30]


@pytest.mark.parametrize("body", [b"{}", None])
def test_a_refused_stream_of_a_post_is_sent_anew(fetcher: Any, faults: Faults, http2: Any, body: bytes | None) -> None:
    """The server says that it did nothing: no attempt is counted."""
    server, one = http2(), fetcher()
    ids(one.get(f"{server.url}/items", ca_path=faults.cert))
    page = one.get(f"{server.url}/refused?page=3", ca_path=faults.cert, method="POST", body=body)
    assert ids(page)[0] == 30 and page.attempts == 1
    assert [headers[":method"] for _, headers, *_ in server.requests] == ["GET", "POST", "POST"]


@pytest.mark.parametrize("route", ["short", "reset-stream", "drop"])
def test_a_body_cut_short_is_an_error(fetcher: Any, faults: Faults, http2: Any, route: str) -> None:
    server = http2()
    page = fetcher().get(f"{server.url}/{route}", ca_path=faults.cert)
    assert page.error is not None
    assert (page.error.code, page.error.stage, page.error.retriable) == ("NETWORK", "fetch", True)
    assert not page.decoded


def test_more_requests_than_streams(fetcher: Any, faults: Faults, http2: Any) -> None:
    server = http2(max_streams=3)
    one = fetcher()
    for n in range(30):
        one.submit(f"{server.url}/items?page={n}", ca_path=faults.cert)
    assert [ids(page)[0] for page in one.pages(30)] == [n * 10 for n in range(30)]
    assert server.most_streams <= 3


def test_bodies_larger_than_the_windows_and_the_memory(fetcher: Any, faults: Faults, http2: Any) -> None:
    server = http2()
    one = fetcher(memory_limit=1_000_000)
    for n in range(8):
        one.submit(f"{server.url}/items?page={n}&pad=100000", ca_path=faults.cert)
    pages: list[_core.Page] = []
    while len(pages) < 8:  # the first ones are dropped: memory comes free
        for page in one.pages(1):
            assert len(ids(page)) == 10
            pages.append(page)
            page.release()
    assert server.connections <= 2
