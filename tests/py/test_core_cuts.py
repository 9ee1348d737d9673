"""Answers cut at each of their bytes: never a page with a part of the records, always an error that may be tried again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from faults import Faults, cut_answer
from headrace import _core

BODY = b'{"items": [{"id": 0}, {"id": 1}, {"id": 2}]}'


def ids(page: _core.Page) -> list[int]:
    assert page.error is None, page.error
    return [record["id"] for record in json.loads(page.project(None))]


def check_cut(page: _core.Page, at: int) -> None:
    assert page.error is not None, at
    assert (page.error.code, page.error.stage, page.error.retriable) == ("NETWORK", "fetch", True), (at, page.error)
    assert not page.decoded


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("form", ["length", "chunked", "gzip"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_http1(fetcher: Any, faults: Faults, form: str, end: str, is_tls: bool) -> None:
    size = len(cut_answer(form, BODY))
    url = f"{faults.tls_url if is_tls else faults.url}/cut?form={form}&end={end}"
    one = fetcher(first_window=8)
    options = {"ca_path": faults.cert} if is_tls else {}
    for at in range(size):
        one.submit(f"{url}&at={at}", **options)
    for at, page in enumerate(one.pages(size)):
        if form == "chunked" and page.error is None:  # only the line break behind the last chunk is missing
            assert at >= size - 2 and ids(page) == [0, 1, 2], at
        else:
            check_cut(page, at)
    if end == "close":
        assert ids(one.get(f"{url}&at={size}", **options)) == [0, 1, 2]


def test_http1_until_the_connection_ends(fetcher: Any, faults: Faults) -> None:
    """Nothing says how long the body is: a cut within it shows in the JSON."""
    answer = cut_answer("bare", BODY)
    head = answer.index(b"\r\n\r\n") + 4
    one = fetcher(first_window=8)
    for at in range(len(answer) + 1):
        one.submit(f"{faults.url}/cut?form=bare&at={at}")
    for at, page in enumerate(one.pages(len(answer) + 1)):
        if at < head:
            check_cut(page, at)
        elif at < len(answer):
            assert page.error is not None and page.error.code == "SYNTAX", at
        else:
            assert ids(page) == [0, 1, 2]


@pytest.mark.parametrize("form", ["length", "chunked", "gzip"])
def test_a_cut_that_does_not_come_again(fetcher: Any, faults: Faults, form: str) -> None:
    size = len(cut_answer(form, BODY))
    one = fetcher(first_window=8)
    cuts = range(0, size - 2, 3)
    for at in cuts:
        one.submit(f"{faults.url}/cut?form={form}&at={at}&times=1&case=once", max_attempts=2)
    assert [(ids(page), page.attempts) for page in one.pages(len(cuts))] == [([0, 1, 2], 2)] * len(cuts)


def test_http2(fetcher: Any, faults: Faults, http2: Any) -> None:
    server = http2()
    one = fetcher(first_window=1, max_in_flight_per_host=1)
    check_cut(one.get(f"{server.url}/cut?at=0", ca_path=faults.cert), 0)
    size = server.whole
    assert size > 150
    for at in range(1, size):
        check_cut(one.get(f"{server.url}/cut?at={at}", ca_path=faults.cert), at)
    assert len(ids(one.get(f"{server.url}/cut?at={size}", ca_path=faults.cert))) == 10


def test_http2_once(fetcher: Any, faults: Faults, http2: Any) -> None:
    server = http2()
    one = fetcher(first_window=1, max_in_flight_per_host=1)
    for at in range(0, 200, 9):
        page = one.get(f"{server.url}/cut?at={at}&times=1&page=1", ca_path=faults.cert, max_attempts=3)
        assert ids(page) == list(range(10, 20)), at
