"""Pages asked for ahead by what headers say: dlt's rows whatever they say, several in flight where they are right, and no page
beyond the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import headrace.sources.rest_api as rest_api
import pytest
from dlt.sources.helpers.rest_client.paginators import HeaderLinkPaginator
from headrace._rest_api.numbered import numbered_links
from oracle import make_pipeline, read_tables, run_both
from requests import PreparedRequest, Response
from servers import Answer, Api, Request

N_PAGES, SIZE = 15, 3
Handler = Callable[[Request], Answer]


def rows(page: int) -> list[dict[str, Any]]:
    """A page's records."""
    return [{"id": number, "tags": [number]} for number in range(page * SIZE, (page + 1) * SIZE)]


class Linked:
    """Pages by Link headers: GitHub's, but for what a case changes."""

    name = "page"
    first, step = 1, 1  # numbers of pages
    extra = ""

    def __init__(self) -> None:
        self.url = ""

    def next_of(self, page: int) -> int | None:
        """The page behind this one."""
        return page + 1 if page + 1 < N_PAGES else None

    def last_of(self, page: int) -> int | None:
        """The last page, as this one says."""
        return N_PAGES - 1

    def link(self, page: int) -> str:
        """Where a page is."""
        return f"{self.url}/items?q=a%20b&{self.name}={self.first + page * self.step}{self.extra}"

    def __call__(self, request: Request) -> Answer:
        value = request.query.get(self.name)
        page = 0 if value is None else (int(value) - self.first) // self.step
        links = []
        if (following := self.next_of(page)) is not None:
            links.append(f'<{self.link(following)}>; rel="next"')
            if (last := self.last_of(page)) is not None:
                links.append(f'<{self.link(last)}>; rel="last"')
        headers = {"Link": ", ".join(links)} if links else {}
        return Answer(rows(page) if 0 <= page < N_PAGES else [], headers=headers)


class Zero(Linked):
    """Pages from 0."""

    first = 0


class Offsets(Linked):
    """Offsets, with the size behind them."""

    name, first, step, extra = "page[offset]", 0, SIZE, f"&page[size]={SIZE}"


class Relative(Linked):
    """Links without a host."""

    def link(self, page: int) -> str:
        return f"/items?page={page + 1}"


class Fewer(Linked):
    """There are fewer pages than the first said."""

    def next_of(self, page: int) -> int | None:
        return page + 1 if page < 6 else None


class Growing(Linked):
    """Each page says only the next few."""

    def last_of(self, page: int) -> int | None:
        return min(page + 3, N_PAGES - 1)


class TooNear(Linked):
    """The last page is not the last."""

    def last_of(self, page: int) -> int | None:
        return max(4, page + 1)


class Jumping(Linked):
    """Page 4 leads to page 7, and that to 9."""

    def next_of(self, page: int) -> int | None:
        return {4: 7, 7: 9}.get(page, super().next_of(page))


class NoLast(Linked):
    """No last page is said."""

    def last_of(self, page: int) -> int | None:
        return None


class Cursors(Linked):
    """Links have a cursor beside the number."""

    def link(self, page: int) -> str:
        return super().link(page) + f"&after={'abcdefghijklmno'[page]}x"


LINKED: dict[str, tuple[type[Linked], bool]] = {  # and whether dlt makes the same requests, no more and no less
    "numbered": (Linked, True),
    "from_0": (Zero, True),
    "offsets": (Offsets, True),
    "relative": (Relative, True),
    "fewer": (Fewer, False),
    "growing": (Growing, True),
    "too_near": (TooNear, True),
    "jumping": (Jumping, False),
    "no_last": (NoLast, True),
    "cursors": (Cursors, True),
}


def config(url: str, paginator: Any, **endpoint: Any) -> Any:
    """One endpoint."""
    found = {"path": "items", "params": {"q": "a b"}, "data_selector": "$", "paginator": paginator, **endpoint}
    return {"client": {"base_url": url}, "resources": [{"name": "items", "endpoint": found}]}


def asked(server: Api) -> list[str]:
    """What was asked for, in any order; forgotten then."""
    found = sorted(str(request.query) for request in server.requests)
    server.requests.clear()
    return found


@pytest.mark.parametrize("in_flight", [1, 16])
@pytest.mark.parametrize("name", list(LINKED))
def test_links(api: Any, tmp_path: Path, monkeypatch: Any, native_only: Any, name: str, in_flight: int) -> None:
    monkeypatch.setenv("HEADRACE__MAX_IN_FLIGHT_PER_HOST", str(in_flight))
    kind, is_same = LINKED[name]
    server = api(handler := kind())
    handler.url = server.url
    requests = []

    def make() -> Any:
        if server.requests:
            requests.append(asked(server))
        return config(server.url, {"type": "header_link"})

    pipelines = run_both(make, tmp_path)
    requests.append(asked(server))
    if is_same or in_flight == 1:
        assert requests[0] == requests[1]
    else:
        assert set(requests[0]) < set(requests[1])  # some were asked for that were none of them
    ids = [[row["id"] for row in read_tables(pipeline)["items"]] for pipeline in pipelines]
    assert ids[0] == ids[1]  # in this order


class OwnLinks(HeaderLinkPaginator):
    """A paginator of the user's: what it puts into a request is not known."""


@pytest.mark.parametrize(
    ("paginator", "method"), [("header_link", "POST"), (OwnLinks(), "GET")], ids=["post", "own_class"]
)
def test_what_is_not_asked_for_ahead(api: Any, tmp_path: Path, native_only: Any, paginator: Any, method: str) -> None:
    """What was ahead would be too much here: there are fewer pages than the links say."""
    server = api(handler := Fewer())
    handler.url = server.url
    requests = []

    def make() -> Any:
        if server.requests:
            requests.append(asked(server))
        return config(server.url, paginator, method=method)

    run_both(make, tmp_path)
    requests.append(asked(server))
    assert requests[0] == requests[1] and len(requests[0]) == 7


def test_links_are_followed_side_by_side(api: Any, tmp_path: Path, native_only: Any) -> None:
    """Each page but the first and the last is given out when the page behind it is asked for."""
    came = [threading.Event() for _ in range(N_PAGES)]
    linked = Linked()

    def handler(request: Request) -> Answer:
        page = int(request.query.get("page", 1)) - 1
        came[page].set()
        if 0 < page < N_PAGES - 1 and not came[page + 1].wait(20):
            return Answer({}, status=404)
        return linked(request)

    server = api(handler)
    linked.url = server.url
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(rest_api.rest_api_source(config(server.url, "header_link"), name="api"))
    assert [row["id"] for row in read_tables(pipeline)["items"]] == list(range(N_PAGES * SIZE))
    assert len(server.requests) == N_PAGES


def test_a_page_that_fails_is_named_by_its_place(api: Any, tmp_path: Path) -> None:
    """Also behind pages that were asked for and dropped."""
    linked = Jumping()
    server = api(lambda r: Answer(b'[{"id"') if r.query.get("page") == "10" else linked(r))
    linked.url = server.url
    with pytest.raises(Exception, match=r"page=10, page 6, byte 6") as caught:
        make_pipeline(tmp_path, "p").run(rest_api.rest_api_source(config(server.url, "header_link"), name="api"))
    assert "items" in str(caught.value)


def test_an_incremental_that_closes_ends_the_links(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(handler := Linked())
    handler.url = server.url

    def make() -> Any:
        incremental = {"cursor_path": "id", "initial_value": 0, "end_value": 20, "row_order": "asc"}
        made = config(server.url, "header_link")
        made["resources"][0]["endpoint"]["incremental"] = incremental
        return made

    pipelines = run_both(make, tmp_path)
    assert len(read_tables(pipelines[1])["items"]) == 20


NUMBER = {"type": "page_number", "base_page": 1, "total_path": None}
OFFSET = {"type": "offset", "limit": SIZE, "total_path": None}
LAST = f'</items?page=14>; rel="prev", </items?page={N_PAGES}&offset={(N_PAGES - 1) * SIZE}>; rel="last"'
HEADERS: dict[str, dict[str, str]] = {
    "total": {"X-Total-Count": str(N_PAGES * SIZE)},
    "pagination": {"X-Pagination-Total-Count": str(N_PAGES * SIZE - 1)},
    "last": {"Link": LAST},
}


def paged(headers: dict[str, str]) -> Handler:
    """Pages by number or offset, with these headers."""

    def handler(request: Request) -> Answer:
        query = request.query
        page = int(query["offset"]) // SIZE if "offset" in query else int(query["page"]) - 1
        return Answer(rows(page) if page < N_PAGES else [], headers=headers)

    return handler


@pytest.mark.parametrize("in_python", [False, True], ids=["by_the_engine", "by_python"])
@pytest.mark.parametrize("paginator", [NUMBER, OFFSET], ids=["number", "offset"])
@pytest.mark.parametrize("name", list(HEADERS))
def test_no_page_beyond_a_total_in_a_header(
    api: Any, tmp_path: Path, native_only: Any, name: str, paginator: Any, in_python: bool
) -> None:
    """But the empty one that dlt asks for too. With an incremental, Python asks for the pages."""
    server = api(paged(HEADERS[name]))
    requests = []

    def make() -> Any:
        if server.requests:
            requests.append(asked(server))
        made = config(server.url, dict(paginator))
        if in_python:
            made["resources"][0]["endpoint"]["incremental"] = {"cursor_path": "id", "initial_value": 0}
        return made

    run_both(make, tmp_path)
    requests.append(asked(server))
    assert requests[0] == requests[1] and len(requests[0]) == N_PAGES + 1


@pytest.mark.parametrize("paginator", [NUMBER, OFFSET], ids=["number", "offset"])
def test_no_page_beyond_a_count_in_the_body(api: Any, tmp_path: Path, native_only: Any, paginator: Any) -> None:
    listed = paged({})
    server = api(lambda request: Answer({"items": listed(request).body, "count": N_PAGES * SIZE}))
    made = config(server.url, dict(paginator), data_selector="items", total_count_path="count")
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(rest_api.rest_api_source(made, name="api"))
    assert len(read_tables(pipeline)["items"]) == N_PAGES * SIZE and len(server.requests) == N_PAGES + 1


@pytest.mark.parametrize("paginator", [NUMBER, OFFSET], ids=["number", "offset"])
def test_a_total_in_a_header_that_is_too_low_costs_no_rows(api: Any, tmp_path: Path, paginator: Any) -> None:
    url = api(paged({"X-Total-Count": "9"})).url
    run_both(lambda: config(url, dict(paginator)), tmp_path)


@pytest.mark.parametrize(
    ("following", "last", "of", "found"),
    [
        ("http://h/a?page=2", "http://h/a?page=9", "http://h/a", (2, 1, 9)),
        ("http://h/a?page=5&x=1", "http://h/a?page=9&x=1", "http://h/a?x=1&page=4", (5, 1, 9)),
        ("http://h/a?o=50", "http://h/a?o=200", "http://h/a", (50, 50, 200)),
        ("http://h/a?o=50", "http://h/a?o=210", "http://h/a", None),  # no page begins there
        ("http://h/a?page=2", "http://h/a?page=2", "http://h/a", None),
        ("http://h/a?page=3", "http://h/a?page=1", "http://h/a?page=2", None),
        ("http://h/a?page=2", "http://h/b?page=9", "http://h/a", None),
        ("http://h/a/2", "http://h/a/9", "http://h/a", None),  # not in the query
        ("http://h/a?p=x2", "http://h/a?p=x9", "http://h/a", None),
        ("http://h/a?p=2x", "http://h/a?p=9x", "http://h/a", None),
        ("http://h/a?p=02", "http://h/a?p=09", "http://h/a", None),
        ("http://h/a?p=2&q=2", "http://h/a?p=9&q=9", "http://h/a", None),
        ("http://h/a?p=2", f"http://h/a?p={'9' * 40}", "http://h/a", None),
    ],
)
def test_which_links_are_numbered(following: str, last: str, of: str, found: tuple[int, int, int] | None) -> None:
    response = Response()
    response.headers["Link"] = f'<{following}>; rel="next", <{last}>; rel="last"'
    response.request = PreparedRequest()
    response.request.url = of
    links = numbered_links(response, following)  # type: ignore[arg-type]
    assert (links and (links.current_value, links.value_step, links.last)) == found
