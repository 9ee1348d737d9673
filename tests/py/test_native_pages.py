"""Pages that the engine asks for and accepts by itself against the pager in Python: the same rows, requests, counts, warnings
and errors, for every stop rule and every page that is out of the ordinary.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import headrace.sources.rest_api as rest_api
import pyarrow.parquet as pq
import pytest
from dlt.extract.concurrency import FuturesPool
from headrace._rest_api import chain as _chain
from headrace._rest_api import native_pages as _native_pages
from headrace._rest_api import serve as _serve
from oracle import run_both
from servers import Answer, Request

N_PAGES, SIZE = 12, 3


def record(number: int) -> dict[str, Any]:
    """A record with a list; texts of different lengths."""
    return {"id": number, "name": "x" * number, "tags": [{"t": number}]}


def body(page: int, **more: Any) -> dict[str, Any]:
    """A page by its number, from 0."""
    rows = range(page * SIZE, (page + 1) * SIZE) if page < N_PAGES else ()
    return {
        "items": [record(number) for number in rows],
        "info": {"pages": N_PAGES, "total": N_PAGES * SIZE, "more": page + 1 < N_PAGES},
        **more,
    }


def page_of(request: Request) -> int:
    """The page that is asked for."""
    query = request.query
    return int(query["offset"]) // SIZE if "offset" in query else int(query.get("page", 0))


def plain(request: Request) -> Answer:
    """Pages as they should be."""
    return Answer(body(page_of(request)))


def at(page: int, other: Callable[[int, Request], Answer]) -> Callable[[Request], Answer]:
    """Pages as they should be, but for one."""

    def handler(request: Request) -> Answer:
        return other(page, request) if page_of(request) == page else plain(request)

    return handler


def with_cookie(page: int, request: Request) -> Answer:
    """A page that sets a cookie: those behind it are asked for with it."""
    return Answer(body(page), headers={"Set-Cookie": "seen=1"})


def with_charset(page: int, request: Request) -> Answer:
    """A page in another charset."""
    text = (
        '{"items": [{"id": 900, "name": "caf\u00e9"}, {"id": 901}], "info": {"pages": 12, "total": 36, "more": true}}'
    )
    return Answer(text.encode("latin-1"), headers={"Content-Type": "application/json; charset=ISO-8859-1"})


def without_rows(page: int, request: Request) -> Answer:
    """An empty page."""
    return Answer(body(page, items=[]))


def with_fewer(page: int, request: Request) -> Answer:
    """From now on there are fewer pages."""
    return Answer(body(page, info={"pages": page + 1, "total": (page + 1) * SIZE, "more": False}))


NUMBER: dict[str, Any] = {"type": "page_number", "base_page": 0, "total_path": "info.pages"}
OFFSET: dict[str, Any] = {"type": "offset", "limit": SIZE, "total_path": "info.total"}
# name: (handler, paginator, least pages that the engine accepts)
CASES: dict[str, tuple[Callable[[Request], Answer], dict[str, Any], int]] = {
    "number": (plain, NUMBER, N_PAGES - 2),
    "offset": (plain, OFFSET, N_PAGES - 2),
    "until_empty": (plain, {"type": "page_number", "base_page": 0, "total_path": None}, N_PAGES - 1),
    "maximum": (plain, {**NUMBER, "maximum_page": 7}, 5),
    "has_more": (
        plain,
        {"type": "page_number", "base_page": 0, "total_path": None, "has_more_path": "info.more"},
        N_PAGES - 2,
    ),
    "cookie": (at(1, with_cookie), NUMBER, 0),
    "charset": (at(4, with_charset), NUMBER, N_PAGES - 3),
    "empty_ends": (at(4, without_rows), NUMBER, 3),
    "empty_goes_on": (at(4, without_rows), {**NUMBER, "stop_after_empty_page": False}, N_PAGES - 2),
    "fewer": (at(4, with_fewer), NUMBER, 3),
    "total_missing": (at(4, lambda page, _: Answer(body(page, info={}))), NUMBER, 3),
    "total_is_text": (at(4, lambda page, _: Answer(body(page, info={"pages": "12"}))), NUMBER, N_PAGES - 3),
    "total_is_huge": (lambda request: Answer(body(page_of(request), info={"pages": 10**30})), NUMBER, 0),
    "first_again": (at(4, lambda page, _: Answer(body(0))), NUMBER, N_PAGES - 3),
    "last_again": (at(4, lambda page, _: Answer(body(3))), NUMBER, N_PAGES - 3),
    "all_the_same": (lambda request: Answer(body(0)), NUMBER, 0),
    "error_in_body": (at(4, lambda page, _: Answer(body(page, items=[], error="no"))), NUMBER, 3),
    "one_record": (at(4, lambda page, _: Answer(body(page, items=[record(99)]))), NUMBER, N_PAGES - 2),
    "not_found": (at(4, lambda page, _: Answer({}, status=404)), NUMBER, 3),
    "no_json": (at(4, lambda page, _: Answer(b'{"items": [')), NUMBER, 3),
    "html": (
        at(4, lambda page, _: Answer(b"<html><title>Login</title>", headers={"Content-Type": "text/html"})),
        NUMBER,
        3,
    ),
    "packed": (at(4, lambda page, _: Answer(body(page), compress=True)), NUMBER, N_PAGES - 2),
    "last_says_more": (at(11, lambda page, _: Answer(body(page, has_more=True))), NUMBER, N_PAGES - 2),
    "total_header": (at(11, lambda page, _: Answer(body(page), headers={"X-Total-Count": "99"})), NUMBER, N_PAGES - 2),
}


def config(url: str, paginator: dict[str, Any], **endpoint: Any) -> Any:
    """One endpoint."""
    found = {
        "path": "items",
        "data_selector": "items",
        "params": {"q": "a b", "z": 1},
        "paginator": paginator,
        **endpoint,
    }
    return {"client": {"base_url": url}, "resources": [{"name": "items", "endpoint": found}]}


def extracted(server: Any, folder: Path, monkeypatch: Any, made: Any, native: bool) -> dict[str, Any]:
    """What one extraction gave and asked for."""
    noted: list[Any] = []
    original = _serve._status.note_counts

    def note(load_id: str, *told: Any) -> Any:
        noted.append(told)
        return original(load_id, *told)

    with monkeypatch.context() as patch:
        patch.setattr(_serve._status, "note_counts", note)
        if not native:
            patch.setattr(_chain, "native_pages", lambda *args: None)
        server.requests.clear()
        pipeline = dlt.pipeline("pages", pipelines_dir=str(folder), destination="duckdb")
        error = ""
        try:
            pipeline.extract(rest_api.rest_api_source(made, name="api"), loader_file_format="parquet")
        except Exception as raised:
            error = str(raised.__cause__ or raised).replace(str(folder), "")
    files = sorted(folder.rglob("*.parquet"))
    rows = {file.name.split(".")[0]: [] for file in files}  # type: ignore[var-annotated]
    for file in files if not error else ():
        read = pq.read_table(file)
        found = read.select([name for name in read.column_names if not name.startswith("_dlt")]).to_pylist()
        rows[file.name.split(".")[0]].append(found)
    (_, counted, warnings, skipped) = noted[-1]
    asked = sorted((page_of(one), tuple(one.query.items()), one.headers.get("Cookie")) for one in server.requests)
    counted.pop("requests")  # those beyond the end, too: how many have come before the end was known
    counted.pop("bytes")
    return {"rows": rows, "error": error, "counted": counted, "warnings": warnings, "skipped": skipped, "asked": asked}


@pytest.mark.parametrize("name", CASES)
def test_like_the_pager_in_python(api: Any, tmp_path: Path, monkeypatch: Any, name: str) -> None:
    handler, paginator, least = CASES[name]
    server = api(handler)
    accepted: list[int] = []
    original = _native_pages.NativePages.count

    def count(self: _native_pages.NativePages) -> Any:
        report = original(self)
        accepted.append(report["pages"])
        return report

    monkeypatch.setattr(_native_pages.NativePages, "count", count)
    ours = extracted(server, tmp_path / "native", monkeypatch, config(server.url, paginator), native=True)
    assert max(accepted) >= least
    accepted.clear()
    theirs = extracted(server, tmp_path / "python", monkeypatch, config(server.url, paginator), native=False)
    assert not accepted
    cookies = [{page: cookie for page, _, cookie in found.pop("asked")} for found in (ours, theirs)]
    assert name != "cookie" or [found[N_PAGES - 1] for found in cookies] == ["seen=1"] * 2
    if ours["error"]:
        for found in (ours, theirs):  # how far what was under way has come differs
            del found["counted"], found["rows"]
    assert ours == theirs


@pytest.mark.parametrize(
    "paginator", [NUMBER, OFFSET, {**NUMBER, "maximum_page": 5}], ids=["number", "offset", "maximum"]
)
def test_the_same_requests(api: Any, tmp_path: Path, monkeypatch: Any, paginator: dict[str, Any]) -> None:
    server = api(plain)
    for more in (
        {},
        {"params": {"page_size": 3, "\u00e4": "\u00fc/%20+"}},
        {"path": "items?x=1"},
        {"data_selector": None},
    ):
        made = config(server.url, paginator, **more)
        ours = extracted(server, tmp_path / f"a{len(str(more))}", monkeypatch, made, native=True)
        theirs = extracted(server, tmp_path / f"b{len(str(more))}", monkeypatch, made, native=False)
        assert ours == theirs


def test_tables_are_those_of_dlt(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(plain)
    run_both(lambda: config(server.url, NUMBER), tmp_path)


def test_an_error_of_a_record_names_its_page(api: Any, tmp_path: Path, native_only: Any) -> None:
    handler = at(6, lambda page, _: Answer(b'{"items": [{"id": 1}, {"id": "\\ud800"}], "info": {"pages": 12}}'))
    server = api(handler)
    pipeline = dlt.pipeline("pages", pipelines_dir=str(tmp_path), destination="duckdb")
    with pytest.raises(Exception, match="page 6"):
        pipeline.extract(rest_api.rest_api_source(config(server.url, NUMBER), name="api"), loader_file_format="parquet")


def test_rows_that_are_not_taken_hold_pages_back(api: Any, tmp_path: Path, native_only: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", "1024")
    monkeypatch.setenv("HEADRACE__MEMORY_LIMIT", "200000")
    server = api(plain)
    pipeline = dlt.pipeline("pages", pipelines_dir=str(tmp_path), destination="duckdb")
    pipeline.extract(rest_api.rest_api_source(config(server.url, NUMBER), name="api"), loader_file_format="parquet")
    assert len(server.requests) == N_PAGES


def test_dlt_does_not_wait_before_the_first_request(
    api: Any, tmp_path: Path, native_only: Any, monkeypatch: Any
) -> None:
    """Of a source with one resource: dlt sleeps once, when that has come to its end."""
    server = api(plain)
    n_asked: list[int] = []
    original = FuturesPool.sleep

    def sleep(self: FuturesPool) -> None:
        n_asked.append(len(server.requests))
        original(self)

    monkeypatch.setattr(FuturesPool, "sleep", sleep)
    pipeline = dlt.pipeline("pages", pipelines_dir=str(tmp_path), destination="duckdb")
    pipeline.extract(rest_api.rest_api_source(config(server.url, NUMBER), name="api"), loader_file_format="parquet")
    assert n_asked[0] == N_PAGES
