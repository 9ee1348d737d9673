"""Fetching through `_core`: heads of requests and answers, what is told of retries."""

import json
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
