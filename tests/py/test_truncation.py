"""What looks like missing pages is a warning, or an error with `on_incomplete: raise`; what is complete is neither."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.rest_api as dlt_rest_api
import headrace
import headrace.sources.rest_api as rest_api
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import assert_equal, make_pipeline, run_both
from servers import Answer, Request

SIZE = 4


def rows(first: int, n: int = SIZE) -> list[dict[str, Any]]:
    """Records from `first` on."""
    return [{"id": number, "name": f"n{number}"} for number in range(first, first + n)]


def pages(n_pages: int, **more: Any) -> Callable[[Request], Answer]:
    """Pages by number, with a cursor to the next; `more`: further members of the body."""

    def handler(request: Request) -> Answer:
        page = int(request.query.get("page") or request.query.get("cursor") or 0)
        body: dict[str, Any] = {"items": rows(page * SIZE) if page < n_pages else [], "pages": n_pages, **more}
        if page + 1 < n_pages:
            body["cursors"] = {"next": str(page + 1)}
        return Answer(body)

    return handler


def repeating(request: Request) -> Answer:
    """An API that does not know `page`."""
    return Answer({"items": rows(0), "pages": 3})


def short_offset(request: Request) -> Answer:
    """Says that there are 12 records and gives 2 a page, whatever the limit."""
    offset = int(request.query["offset"])
    return Answer({"items": rows(offset, 2) if offset < 10 else [], "total": 12})


def with_header(request: Request) -> Answer:
    """Says in a header that there are more records than there are."""
    return Answer({"items": rows(0, 3)}, headers={"X-Total-Count": "7"})


CURSOR = {"type": "cursor", "cursor_path": "cursors.next", "cursor_param": "cursor"}
NUMBER = {"type": "page_number", "total_path": "pages"}
# name: (handler, endpoint, text)
CASES: dict[str, tuple[Callable[[Request], Answer], dict[str, Any], str]] = {
    "the same page again": (
        repeating,
        {"paginator": NUMBER},
        "page 1: expected other records than before, found those of page 0",
    ),
    "a cursor path that never matches": (
        pages(3),
        {"paginator": {**CURSOR, "cursor_path": "cursor.next"}, "params": {"limit": SIZE}},
        "page 0: expected a next page after a full one (4 records), but `JSONResponseCursorPaginator` found none",
    ),
    "a link that is never there": (
        pages(3),
        {"paginator": "header_link", "params": {"per_page": SIZE}},
        "but `HeaderLinkPaginator` found none",
    ),
    "a full page of which nothing is known": (
        lambda request: Answer(rows(0, 100)),
        {"data_selector": None},
        "a full one (100 records), but `SinglePagePaginator` found none",
    ),
    "has_more without a cursor": (
        pages(1, meta={"has_more": True}),
        {"paginator": CURSOR},
        "the answer says that there is more (`meta.has_more` is true), but `JSONResponseCursorPaginator` found no next",
    ),
    "more by the paginator's own path, without a cursor": (
        pages(1, meta={"page": {"again": "true"}}),
        {"paginator": {**CURSOR, "has_more_path": "meta.page.again"}},
        "there is more (`meta.page.again` is true), but `JSONResponseCursorPaginator` found no next",
    ),
    "a page that a selector in Python leaves empty": (
        pages(3),
        {"data_selector": "items[?(@.id>5)]", "paginator": NUMBER},
        "page 0: expected 3 pages by `pages`, found 1",
    ),
    "more beside what a selector in Python takes": (
        pages(1, meta={"has_more": True}),
        {"data_selector": "items[0:2]", "paginator": CURSOR},
        "the answer says that there is more (`meta.has_more` is true)",
    ),
    "more as a text": (
        pages(1, has_more="true"),
        {"paginator": CURSOR},
        "the answer says that there is more (`has_more` is true)",
    ),
    "a limit that the server does not take and no total": (
        lambda request: Answer({"items": rows(int(request.query["offset"]), 2)[: 11 - int(request.query["offset"])]}),
        {"paginator": {"type": "offset", "limit": SIZE, "total_path": None}},
        "expected 4 records (`limit`) on page 0, for more come behind it, found 2: those between are not asked for",
    ),
    "records under another key": (
        lambda request: Answer({"links": [{"rel": "self"}], "result": {"orders": rows(0)}}),
        {"data_selector": "result.items", "paginator": "single_page"},
        "page 0: expected records at `result.items`, found nothing there but a list of 4 at `result.orders`",
    ),
    "records where there is no key": (
        lambda request: Answer(rows(0)),
        {"paginator": "single_page"},
        "expected records at `items`, found nothing there but a list of 4 at `$`",
    ),
    "an empty page among the pages": (
        lambda request: Answer({"items": rows(0) if request.query["page"] == "0" else [], "pages": 5}),
        {"paginator": NUMBER},
        "page 1: expected 5 pages by `pages`, found 2",
    ),
    "a limit that the server does not take": (
        short_offset,
        {"paginator": {"type": "offset", "limit": SIZE, "total_path": "total"}},
        "expected 12 records by `total`, found 6",
    ),
    "fewer than the header says": (
        with_header,
        {"paginator": "single_page"},
        "expected 7 records by header X-Total-Count, found 3",
    ),
    "fewer than the body says": (
        pages(2, count=9),
        {"paginator": CURSOR, "total_count_path": "count"},
        "page 1: expected 9 records by `count`, found 8",
    ),
    "an error with status 200": (
        lambda request: Answer({"error": {"code": 7, "message": "no"}}),
        {"paginator": "single_page"},
        'page 0: expected records, found an error with status 200: `error` is {"code": 7, "message": "no"}',
    ),
    "an error with status 200, no selector": (
        lambda request: Answer({"errors": [{"message": "no"}]}),
        {"data_selector": None, "paginator": "single_page"},
        "page 0: expected records, found an error with status 200: `errors`",
    ),
    "records beside errors": (
        lambda request: Answer({"items": rows(0), "errors": [{"message": "half of it"}]}),
        {"paginator": "single_page"},
        '`errors` is [{"message": "half of it"}]',
    ),
    "an error at a path": (
        lambda request: Answer({"items": [], "status": {"failure": "quota"}}),
        {"paginator": "single_page", "error_path": "status.failure"},
        'expected records, found an error at `status.failure`: "quota"',
    ),
}


def config(url: str, endpoint: dict[str, Any], **more: Any) -> Any:
    """One resource."""
    made = {"path": "items", "data_selector": "items", **endpoint, **more}
    made = {key: value for key, value in made.items() if value is not None}
    return {"client": {"base_url": url}, "resources": [{"name": "items", "endpoint": made}]}


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """The warnings about missing pages."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING and "headrace: resource" in record.getMessage():
                lines.append(record.getMessage())

    handler = Lines()
    logging.getLogger("dlt").addHandler(handler)
    yield lines
    logging.getLogger("dlt").removeHandler(handler)


@pytest.mark.parametrize("name", list(CASES))
def test_what_is_missing_is_said(api: Any, tmp_path: Path, warned: list[str], name: str) -> None:
    handler, endpoint, text = CASES[name]
    server = api(handler)
    theirs = {key: value for key, value in endpoint.items() if key not in ("total_count_path", "error_path")}
    pipelines = []
    for side, module, own in (("dlt", dlt_rest_api, theirs), ("headrace", rest_api, endpoint)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        pipeline.run(module.rest_api_source(config(server.url, own), name="api"), loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)  # by default what works with dlt works
    assert any(text in line for line in warned), warned
    load_id = pipelines[1].last_trace.last_normalize_info.loads_ids[-1:]
    known = headrace.status()[load_id[0]]["resources"]["items"]["warnings"] if load_id else warned
    assert any(text in line for line in known)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *((name, "endpoint") for name in CASES),
        *((next(iter(CASES)), place) for place in ("client", "defaults", "settings")),
    ],
)
def test_what_is_missing_is_raised(api: Any, tmp_path: Path, monkeypatch: Any, name: str, where: str) -> None:
    handler, endpoint, text = CASES[name]
    made = config(api(handler).url, endpoint)
    if where == "endpoint":
        made["resources"][0]["endpoint"]["on_incomplete"] = "raise"
        made["client"]["on_incomplete"] = "warn"
    elif where == "client":
        made["client"]["on_incomplete"] = "raise"
    elif where == "defaults":
        made["resource_defaults"] = {"endpoint": {"on_incomplete": "raise"}}
    else:
        monkeypatch.setenv("HEADRACE__ON_INCOMPLETE", "raise")
    pipeline = make_pipeline(tmp_path, "p")
    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.run(rest_api.rest_api_source(made, name="api"))
    assert text in str(caught.value)
    assert "set on_incomplete to `warn`" in str(caught.value)


COMPLETE: dict[str, tuple[Callable[[Request], Answer], dict[str, Any]]] = {
    "pages with their number": (pages(3), {"paginator": NUMBER}),
    "a cursor": (pages(3), {"paginator": CURSOR, "params": {"limit": SIZE}}),
    "a maximum": (pages(5), {"paginator": {**NUMBER, "maximum_page": 2}}),
    "one short page": (pages(1), {"paginator": CURSOR, "params": {"limit": 50}}),
    "one page, and the user says so": (lambda request: Answer({"items": rows(0, 100)}), {"paginator": "single_page"}),
    "empty": (lambda request: Answer({"items": [], "errors": [], "error": None}), {"paginator": "single_page"}),
    "an object that is the record": (
        lambda request: Answer({"id": 1, "error": "of a job"}),
        {"data_selector": "$", "paginator": "single_page"},
    ),
    "a full page, and the total says that it is all": (
        lambda request: Answer({"items": rows(0), "total": str(SIZE)}),
        {"paginator": {"type": "offset", "limit": SIZE, "total_path": "total"}},
    ),
    "a full page of one": (pages(1), {"paginator": NUMBER, "params": {"limit": SIZE}}),
    "pages of which a selector in Python takes the same": (
        pages(3, kind=[{"a": 1}, {"a": 2}]),
        {"data_selector": "kind[?(@.a>0)]", "paginator": CURSOR},
    ),
    "an empty answer without the key of its records": (
        lambda request: Answer({"kind": "list", "links": [{"rel": "self"}], "tags": ["a"]}),
        {"paginator": "single_page"},
    ),
    "a short page, and none behind it": (
        lambda request: Answer({"items": rows(0, 2) if request.query["offset"] == "0" else []}),
        {"paginator": {"type": "offset", "limit": SIZE, "total_path": None}},
    ),
    "has_more false": (pages(1, has_more=False), {"paginator": CURSOR}),
    "an offset": (
        lambda request: Answer({"items": rows(int(request.query["offset"])), "total": 12}),
        {"paginator": {"type": "offset", "limit": SIZE, "offset": 4, "total_path": "total"}},
    ),
}


@pytest.mark.parametrize("name", list(COMPLETE))
def test_what_is_complete_is_not_said(api: Any, tmp_path: Path, name: str) -> None:
    handler, endpoint = COMPLETE[name]
    made = config(api(handler).url, endpoint, on_incomplete="raise")
    make_pipeline(tmp_path, "p").extract(rest_api.rest_api_source(made, name="api"))


@pytest.mark.parametrize("place", ["client", "endpoint"])
def test_a_wrong_value_is_refused(place: str) -> None:
    made = config("http://127.0.0.1:1", {})
    (made["client"] if place == "client" else made["resources"][0]["endpoint"])["on_incomplete"] = "ignore"
    with pytest.raises(ValueError, match=r"on_incomplete.*warn.*raise"):
        rest_api.rest_api_source(made)


def test_other_keys_are_dlts_to_refuse() -> None:
    made = config("http://127.0.0.1:1", {"on_incompleet": "warn"})
    texts = []
    for module in (dlt_rest_api, rest_api):
        with pytest.raises(Exception) as caught:
            module.rest_api_source(made)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_the_factory_takes_its_keys_from_the_configuration(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    server = api(repeating)
    resource = {"name": "items", "endpoint": {"path": "items", "data_selector": "items", "paginator": NUMBER}}
    section = tmp_path / ".dlt"
    section.mkdir()
    client = f'{{base_url = "{server.url}", on_incomplete = "raise"}}'
    (section / "config.toml").write_text(f"[sources.rest_api.rest_api]\nclient = {client}\n")
    monkeypatch.chdir(tmp_path)
    Container()[PluggableRunContext].reload(str(tmp_path))
    with pytest.raises(PipelineStepFailed, match="found those of page 0"):
        make_pipeline(tmp_path, "p").extract(rest_api.rest_api(resources=[resource]))
    with pytest.raises(PipelineStepFailed, match="found those of page 0"):
        make_pipeline(tmp_path, "q").extract(rest_api.rest_api.clone(parallelized=True)(resources=[resource]))
    monkeypatch.undo()
    Container()[PluggableRunContext].reload()


def test_records_are_counted(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(pages(3))
    made = config(server.url, {"paginator": NUMBER, "incremental": {"cursor_path": "id", "initial_value": 5}})
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(rest_api.rest_api_source(made, name="api"))
    load_id = pipeline.last_trace.last_normalize_info.loads_ids[-1]
    counts = headrace.status()[load_id]["resources"]["items"]["counts"]
    assert counts.pop("bytes") > 100
    assert counts == {"requests": 3, "pages": 3, "records": 12, "rows": 7, "left_out": 5, "skipped": 0}
    metrics = pipeline.last_trace.last_extract_info.metrics[load_id][0]["resource_metrics"]["items"].custom_metrics
    assert metrics["headrace"]["rows"] == 7
    assert dlt.attach("p", pipelines_dir=pipeline.pipelines_dir).last_trace is not None


def test_a_source_of_dlts_has_the_settings(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HEADRACE__ON_INCOMPLETE", "raise")
    headrace.install()
    try:
        source = dlt_rest_api.rest_api_source(config(api(repeating).url, {"paginator": NUMBER}))
        with pytest.raises(PipelineStepFailed, match="found those of page 0"):
            make_pipeline(tmp_path, "p").extract(source)
    finally:
        headrace.uninstall()


def test_an_html_page_is_named(api: Any, tmp_path: Path) -> None:
    html = b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"

    def handler(request: Request) -> Answer:
        if request.path == "/items":
            return Answer({}, status=302, headers={"Location": "/login"})
        return Answer(html, headers={"Content-Type": "text/html"})

    made = config(api(handler).url, {})
    with pytest.raises(PipelineStepFailed, match=r"expected JSON, found an HTML page `Sign in` at .*/login"):
        make_pipeline(tmp_path, "p").extract(rest_api.rest_api_source(made, name="api"))


def test_both_ways_are_equal_for_dependents(api: Any, tmp_path: Path, native_only: Any, warned: list[str]) -> None:
    """One line for a kind of suspicion is enough, however many parents have it."""

    def handler(request: Request) -> Answer:
        if request.path == "/items":
            return Answer({"items": rows(0, 8)})
        return Answer({"error": "none"})

    server = api(handler)

    def make() -> Any:
        made = config(server.url, {"paginator": "single_page"})
        path = "items/{resources.items.id}/parts"
        made["resources"].append({"name": "parts", "endpoint": {"path": path, "data_selector": "items"}})
        return made

    run_both(make, tmp_path)
    assert 1 <= len([line for line in warned if "resource `parts`" in line]) <= 3
