"""The next request of a chain leaves when its cursor has come, and what comes behind it still decides.

The server keeps the rest of a page back until the request behind it is there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import headrace.sources.rest_api as rest_api
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import make_pipeline, read_tables, run_both
from servers import Answer, Request

N_PAGES = 5
_MOST_S = 60  # how long a page is kept back: then the test fails


class Chained:
    """Pages that name the next one before their records; `by`: how. Those in `held` end when the next one was asked for."""

    def __init__(self, by: str, held: set[int]) -> None:
        self.by = by
        self.held = held
        self.asked = [threading.Event() for _ in range(N_PAGES + 1)]
        self.met: list[bool] = []

    def first_part(self, page: int) -> tuple[bytes, dict[str, str]]:
        """The beginning of a page's body, and its headers."""
        following = page + 1 if page + 1 < N_PAGES else None
        if self.by == "cursor":
            return b'{"meta": {"next": %s}, "items": [' % json.dumps(following and f"{following}").encode(), {}
        if self.by == "link":
            return b'{"next": %s, "items": [' % json.dumps(following and f"/items?page={following}").encode(), {}
        headers = {} if following is None else {"X-Next": f"{following}"}
        if self.by == "header_link" and following is not None:
            headers = {"Link": f'</items?page={following}>; rel="next"'}
        return b'{"items": [', headers

    def rest(self, page: int) -> bytes:
        """What follows it."""
        return b'{"id": %d}, {"id": %d}]}' % (2 * page, 2 * page + 1)

    def _parts(self, page: int, first: bytes) -> Iterator[bytes]:
        yield first
        if page in self.held:
            self.met.append(self.asked[page + 1].wait(_MOST_S))
        yield self.rest(page)

    def __call__(self, request: Request) -> Answer:
        page = int(request.query.get("page", 0))
        self.asked[page].set()
        first, headers = self.first_part(page)
        return Answer(parts=self._parts(page, first), headers=headers)


PAGINATORS: dict[str, Any] = {
    "cursor": {"type": "cursor", "cursor_path": "meta.next", "cursor_param": "page"},
    "link": {"type": "json_link", "next_url_path": "next"},
    "header": {"type": "header_cursor", "cursor_key": "X-Next", "cursor_param": "page"},
    "header_link": "header_link",
}


def config(url: str, paginator: Any) -> Any:
    """One resource of those pages."""
    endpoint = {"path": "items", "data_selector": "items", "paginator": paginator}
    return {"client": {"base_url": url}, "resources": [{"name": "items", "endpoint": endpoint}]}


def extracted(tmp_path: Path, name: str, url: str, paginator: Any) -> Any:
    """Tables by headrace."""
    pipeline = make_pipeline(tmp_path, name)
    pipeline.run(rest_api.rest_api_source(config(url, paginator), name="api"))
    return read_tables(pipeline)


@pytest.mark.parametrize("by", PAGINATORS)
def test_next_request_leaves_before_the_page_has_come(api: Any, tmp_path: Path, native_only: Any, by: str) -> None:
    server = Chained(by, held=set(range(N_PAGES - 1)))
    at = api(server)
    tables = extracted(tmp_path, by, at.url, PAGINATORS[by])
    assert server.met == [True] * (N_PAGES - 1)
    assert sorted(row["id"] for row in tables["items"]) == list(range(2 * N_PAGES))
    assert len(at.requests) == N_PAGES


class Twice(Chained):
    """The same key once more behind the records: the last one counts."""

    def first_part(self, page: int) -> tuple[bytes, dict[str, str]]:
        named = page + 2 if page == 1 else page + 1
        return b'{"meta": {"next": %s}, "items": [' % (b'"%d"' % named if named < N_PAGES else b"null"), {}

    def rest(self, page: int) -> bytes:
        following = b"null" if page + 1 >= N_PAGES else b'"%d"' % (page + 1)
        return super().rest(page)[:-1] + b', "meta": {"next": %s}}' % following


def test_the_page_itself_decides(api: Any, tmp_path: Path, native_only: Any) -> None:
    url = api(Twice("cursor", held=set())).url
    run_both(lambda: config(url, PAGINATORS["cursor"]), tmp_path)
    held = Twice("cursor", held={1})
    held.asked[2] = held.asked[3]  # page 1 ends when the one that it named first, 3, was asked for
    at = api(held)
    tables = extracted(tmp_path, "held", at.url, PAGINATORS["cursor"])
    assert held.met == [True]
    assert sorted(row["id"] for row in tables["items"]) == list(range(2 * N_PAGES))
    assert sorted(request.query.get("page", "0") for request in at.requests) == ["0", "1", "2", "3", "3", "4"]


class Broken(Chained):
    """Page 2 is no JSON."""

    def rest(self, page: int) -> bytes:
        return b'{"id": 1}, }' if page == 2 else super().rest(page)


def test_an_invalid_page_is_the_same_error(api: Any, tmp_path: Path, native_only: Any) -> None:
    errors = []
    for name, held in (("held", {2}), ("whole", set())):
        server = Broken("cursor", held)
        url = api(server).url
        with pytest.raises(PipelineStepFailed) as failed:
            extracted(tmp_path, name, url, PAGINATORS["cursor"])
        errors.append(str(failed.value.__cause__).replace(url, "URL"))
        assert server.met == [True] * len(held)
    assert errors[0] == errors[1]
    assert "page 2" in errors[0]


def test_no_request_ahead_where_more_than_the_cursor_ends_a_chain(api: Any, tmp_path: Path, native_only: Any) -> None:
    class Endless(Chained):
        def first_part(self, page: int) -> tuple[bytes, dict[str, str]]:
            return b'{"meta": {"next": "%d"}, "items": [' % (page + 1), {}

        def rest(self, page: int) -> bytes:
            return super().rest(page) if page + 1 < N_PAGES else b"]}"

    server = Endless("cursor", held=set())
    server.asked += [threading.Event() for _ in range(2)]
    at = api(server)
    paginator = {**PAGINATORS["cursor"], "stop_after_empty_page": True}
    tables = extracted(tmp_path, "endless", at.url, paginator)
    assert len(tables["items"]) == 2 * (N_PAGES - 1)
    assert len(at.requests) == N_PAGES
