"""Fetching through `_core`: heads of requests and answers, what is told of retries."""

import json
import socket
import threading
from typing import Any

import pytest
from faults import Faults

# ---- heads


def test_header_values_are_bytes(fetcher: Any, faults: Faults) -> None:
    headers = [("X-Latin", "Gr\u00f6\u00dfe".encode("latin-1")), ("X-Utf", "\u65e5".encode()), ("X-Empty", b"")]
    page = fetcher().get(f"{faults.url}/headers", headers=headers)
    sent = dict(json.loads(page.body())["headers"])  # the server reads latin-1
    assert sent["X-Latin"] == "Gr\u00f6\u00dfe"
    assert sent["X-Utf"].encode("latin-1").decode() == "\u65e5"
    assert sent["X-Empty"] == ""


def test_heads_of_answers_read_as_latin1(fetcher: Any, faults: Faults) -> None:
    page = fetcher().get(f"{faults.url}/raw-header?value=caf%C3%A9")
    assert dict(page.headers)["X-Raw"] == "caf\u00c3\u00a9"
    assert page.reason == "Said So"


# ---- what is told of retries


@pytest.mark.parametrize(
    ("path", "options", "attempts", "throttled"),
    [
        ("/json", {}, 1, 0),
        ("/status/500?times=1&case=t1", {}, 2, 0),
        ("/status/503?times=2&case=t2", {}, 3, 2),
        ("/status/503?case=t3", {"max_attempts": 2}, 2, 2),
        ("/retry-after?case=t4", {"max_delay_ms": 1}, 2, 1),
        ("/short?case=t5", {}, 4, 0),
        ("/close", {}, 4, 0),
        ("/hang", {"read_timeout_ms": 50, "max_attempts": 2}, 2, 2),
    ],
)
def test_throttled(fetcher: Any, faults: Faults, path: str, options: Any, attempts: int, throttled: int) -> None:
    page = fetcher().get(f"{faults.url}{path}", **({"max_attempts": 4} | options))
    assert (page.attempts, page.throttled) == (attempts, throttled)


@pytest.mark.parametrize(
    ("method", "body", "options", "times"),
    [
        ("GET", b"", {}, 2),
        ("PUT", b"{}", {}, 2),
        ("POST", b"{}", {}, 1),
        ("POST", b"", {}, 1),
        ("POST", None, {}, 1),
        ("PATCH", b"{}", {}, 1),
        ("POST", b"{}", {"retry_unsafe": True}, 2),
        ("POST", b"{}", {"retry_unsafe": True, "max_attempts": 3}, 4),
    ],
)
def test_a_kept_connection_closed_instead_of_an_answer(
    fetcher: Any, faults: Faults, method: str, body: bytes | None, options: Any, times: int
) -> None:
    """It may have been closed before the request came, so that this counts as no attempt; but no POST is made again."""
    one, path = fetcher(), f"/close?kept={method}{body!r}{len(options)}"
    assert one.get(f"{faults.url}/json").status == 200
    page = one.get(faults.url + path, method=method, body=body, **({"max_attempts": 1} | options))
    assert "closed before an answer came" in str(page.error) and page.attempts == options.get("max_attempts", 1)
    assert faults.asked.count(f"{method} {path}") == times


def test_a_body_goes_over_a_kept_connection(fetcher: Any, faults: Faults) -> None:
    one, connections = fetcher(), faults.connections
    for size in (3, 300_000, 3):
        body = b"x" * size
        assert one.get(f"{faults.url}/echo", method="POST", body=body).body() == body
    assert faults.connections - connections == 1


def test_a_post_whose_server_ends_is_not_made_again(fetcher: Any) -> None:
    """Its connection was a kept one. That the next is refused does not say that the server did nothing."""
    asked = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with listener, connection, connection.makefile("rb") as lines:
            for line in lines:
                asked.extend([line.split()[0]] if b" HTTP/" in line else [])
                if line == b"\r\n" and asked[-1] == b"GET":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
                elif line == b"\r\n":
                    lines.read(2)
                    listener.close()
                    return

    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = threading.Thread(target=serve, args=(listener,))
    server.start()
    one = fetcher()
    assert one.get(url).status == 200
    page = one.get(url, method="POST", body=b"{}", max_attempts=3)
    server.join()
    assert asked == [b"GET", b"POST"] and page.attempts == 1
    assert "closed before an answer came" in str(page.error)


def test_refused_because_parallel_counts_as_throttled(fetcher: Any, faults: Faults) -> None:
    one = fetcher()
    for _ in range(4):
        one.submit(f"{faults.url}/busy?ms=30&case=parallel&refused=2")
    pages = one.pages(4)
    assert [page.status for page in pages] == [200] * 4
    assert [page.attempts for page in pages] == [1] * 4
    assert sum(page.throttled for page in pages) == 2  # of three at first; then one at a time
    assert pages[-1].window == 1


def test_a_host_that_was_left_alone_is_asked_again(fetcher: Any, faults: Faults) -> None:
    """Once its time is over; an answer begins the count anew."""
    one = fetcher()
    breaker = {"breaker": 2, "breaker_ms": 50}
    path = "/json?left=alone"
    for _ in range(2):
        assert one.get(f"{faults.url}/close", **breaker).error is not None
    asked = faults.asked.count(f"GET {path}")
    while (page := one.get(faults.url + path, **breaker)).error is not None:
        assert "so it is not asked for another" in str(page.error) and page.error.retriable
    assert page.status == 200 and faults.asked.count(f"GET {path}") == asked + 1
    assert "closed before an answer" in str(one.get(f"{faults.url}/close", **breaker).error)
    assert one.get(faults.url + path, **breaker).status == 200
