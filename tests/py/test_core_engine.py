"""The engine through `_core`: order, memory, errors, ends."""

import gc
import json
import threading
import time
from typing import Any

import pyarrow as pa
import pytest
from headrace import _core

SEED = bytes(range(32))


def make_stream(engine: _core.Engine, **options: Any) -> _core.Stream:
    """A stream over an empty schema with the whole document as records."""
    settings: dict[str, Any] = {
        "table": "items",
        "tables": [],
        "load_id": "1.5",
        "max_nesting": 1000,
        "max_length": 0,
        "id_kind": "random",
        "root_key": False,
        "selector": [],
    }
    return engine.stream(**(settings | options))


def rows_of(stream: _core.Stream) -> dict[str, list[dict[str, Any]]]:
    """All rows of a stream by table, to its end."""
    rows: dict[str, list[dict[str, Any]]] = {}
    while (batches := stream.next_batch(5000)) is not None:
        assert batches is not False, "no batch came in 5 s"
        for batch in batches:
            table = pa.table(pa.record_batch(batch))
            table.validate(full=True)
            rows.setdefault(batch.name, []).extend(table.to_pylist())
    return rows


def run_pages(pages: list[bytes], *, workers: int, **options: Any) -> dict[str, list[dict[str, Any]]]:
    """Rows of pages accepted in order."""
    engine = _core.Engine(workers=workers, seed=SEED)
    try:
        stream = make_stream(engine, **options)
        for tag, body in enumerate(pages):
            engine.submit_bytes(stream, tag, body)
        waiting: dict[int, _core.Page] = {}
        next_tag = 0
        while next_tag < len(pages):
            for page in engine.poll(5000):
                assert page.error is None, page.error
                waiting[page.tag] = page
            while next_tag in waiting:
                stream.accept(waiting.pop(next_tag))
                next_tag += 1
        stream.finish()
        return rows_of(stream)
    finally:
        engine.close()


def evolving_pages(n_pages: int) -> list[bytes]:
    """Pages that keep adding columns, child tables and variants."""
    pages = []
    for n in range(n_pages):
        records = [
            {
                "id": n * 10 + i,
                f"col_{n % 7}": "x" * (i + 1),
                "mixed": i if n % 3 else str(i) + "a",
                "tags": [f"t{j}" for j in range(i % 4)],
                "deep": {"list": [{"a": i, f"b{n % 5}": n}]},
            }
            for i in range(10)
        ]
        pages.append(json.dumps(records).encode())
    return pages


def test_output_is_equal_for_1_and_many_workers() -> None:
    pages = evolving_pages(60)
    expected = run_pages(pages, workers=1)
    assert [row["id"] for row in expected["items"]] == list(range(600))
    for workers in (2, 4, 8):
        got = run_pages(pages, workers=workers)
        assert got == expected
        assert {name: list(rows[0]) for name, rows in got.items()} == {
            name: list(rows[0]) for name, rows in expected.items()
        }


def test_fast_path_and_reference_give_the_same_rows() -> None:
    pages = evolving_pages(30)
    assert run_pages(pages, workers=2) == run_pages(pages, workers=2, reference_only=True)


def test_small_batches_join_to_the_same_rows() -> None:
    pages = evolving_pages(30)
    whole = run_pages(pages, workers=2)
    parts = run_pages(pages, workers=2, batch_bytes=1)
    assert {name: len(rows) for name, rows in parts.items()} == {name: len(rows) for name, rows in whole.items()}
    for name, rows in whole.items():
        for got, expected in zip(parts[name], rows, strict=True):
            assert got.items() <= expected.items()  # an early batch lacks columns that came later
            assert all(expected[key] is None for key in expected.keys() - got.keys())


def test_arrow_memory_counts_until_it_is_released() -> None:
    engine = _core.Engine(workers=2)
    try:
        stream = make_stream(engine, batch_bytes=100_000)
        bodies = [json.dumps([{"id": i, "text": "x" * 1000} for i in range(1000)]).encode()] * 3
        for tag, body in enumerate(bodies):
            engine.submit_bytes(stream, tag, body)
        waiting: list[_core.Page] = []
        while len(waiting) < 3:
            waiting += engine.poll(5000)
        assert not stream.is_behind()
        for page in waiting:
            stream.accept(page)
        del page
        waiting.clear()
        while engine.stats()["pages"] < 3:
            time.sleep(0.01)
        assert stream.is_behind()
        stream.finish()
        batches = stream.next_batch(5000)
        assert isinstance(batches, list)
        assert not stream.is_behind()
        table = pa.table(pa.record_batch(batches[0]))
        del batches
        assert stream.next_batch(5000) is None
        column = table.slice(0, 10)["id"]
    finally:
        engine.close()
    del table
    assert column.to_pylist() == list(range(10))
    assert engine.stats()["memory"] > 3_000_000  # Arrow holds a record batch as a whole
    del column
    assert engine.stats()["memory"] < 1_000_000


def test_rows_leave_while_pages_are_waited_for() -> None:
    engine = _core.Engine(workers=2)
    try:
        stream = make_stream(engine, batch_bytes=8_000_000)
        engine.submit_bytes(stream, 0, json.dumps([{"id": i, "text": "x" * 1000} for i in range(2000)]).encode())
        (page,) = engine.poll(5000)
        stream.accept(page)
        batches = stream.next_batch(60_000)  # neither full nor at the end
        assert isinstance(batches, list)
        assert [batch.name for batch in batches] == ["items"]
        assert pa.record_batch(batches[0]).num_rows == 2000
        del batches
        stream.finish()
        assert stream.next_batch(5000) is None
    finally:
        engine.close()


def test_a_stream_says_when_its_pages_are_committed_and_what_they_added() -> None:
    engine = _core.Engine(workers=2)
    try:
        stream = make_stream(engine)
        assert (stream.wait_committed(0), stream.has_grown()) == (True, False)
        for tag in range(20):
            stream.feed(tag, b'[{"id": 1, "l": [{"a": 2}]}]')
        assert stream.wait_committed(60_000)
        assert (stream.n_committed, stream.has_grown()) == (20, True)
        stream.feed(20, b'{"not": "a list"')
        assert not stream.wait_committed(60_000)
        stream.finish()
        with pytest.raises(_core.Error, match="byte 16"):
            stream.next_batch(60_000)
    finally:
        engine.close()


def test_batches_tell_of_what_pages_added() -> None:
    engine = _core.Engine(workers=2)
    try:
        stream = make_stream(engine, batch_bytes=1)
        stream.feed(0, b'[{"id": 1, "l": [{"a": 2}]}]')
        assert stream.next_batch(60_000)
        assert not stream.has_grown()
        stream.feed(1, b'[{"id": 2, "l": [{"a": 3}]}]')
        assert stream.wait_committed(60_000)
        assert not stream.has_grown()
        stream.feed(2, b'[{"l": [{"b": 3}]}]')
        assert stream.wait_committed(60_000)
        assert stream.has_grown()
    finally:
        engine.close()


def test_rows_outlive_their_engine() -> None:
    engine = _core.Engine(workers=1)
    stream = make_stream(engine)
    engine.submit_bytes(stream, 0, json.dumps([{"id": i, "text": "x" * 1000} for i in range(1000)]).encode())
    (page,) = engine.poll(5000)
    stream.accept(page)
    stream.finish()
    batches = stream.next_batch(5000)
    assert isinstance(batches, list)
    table = pa.table(pa.record_batch(batches[0]))
    engine.close()
    del engine, stream, page, batches
    gc.collect()
    assert table["id"].to_pylist() == list(range(1000))


def test_an_error_names_page_record_and_place() -> None:
    engine = _core.Engine(workers=2)
    try:
        stream = make_stream(engine, tables=[("items", None, -1, [("id", "bigint", _core.COL_NOT_NULL, 0, 0)])])
        engine.submit_bytes(stream, 7, b'[{"id": 1}, {"id": null}]')
        (page,) = engine.poll(5000)
        stream.accept(page)
        stream.finish()
        with pytest.raises(_core.Error) as caught:
            rows_of(stream)
        assert caught.value.code == "NULL_VALUE"
        assert caught.value.stage == "normalize"
        assert (caught.value.tag, caught.value.record) == (7, 1)
        assert (caught.value.table, caught.value.column) == ("items", "id")
        assert caught.value.offset == 12
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "SYNTAX"),
        (b'[{"a": 1}', "SYNTAX"),
        (b"<html>login</html>", "SYNTAX"),
        (b'["\xff"]', "ENCODING"),
        (b"[" * 100_000 + b"]" * 100_000, "LIMIT"),
        (b"[NaN]", "SYNTAX"),
    ],
)
def test_bad_bodies_are_errors_of_their_page(body: bytes, code: str) -> None:
    engine = _core.Engine(workers=1)
    try:
        stream = make_stream(engine)
        engine.submit_bytes(stream, 3, body)
        (page,) = engine.poll(5000)
        assert not page.decoded
        assert page.error is not None
        assert (page.error.code, page.error.stage, page.error.tag) == (code, "decode", 3)
        assert page.body() == body
    finally:
        engine.close()


def test_page_views() -> None:
    engine = _core.Engine(workers=1)
    try:
        stream = make_stream(engine, selector=["data", "items"])
        body = b'{"next": "/p2", "data": {"items": [{"a": 1, "b": [2]}, 5], "n": [1]}, "x": 1e400}'
        engine.submit_bytes(stream, 1, body, url="http://h/p1")
        (page,) = engine.poll(5000)
        assert (page.n_records, page.status, page.url) == (2, 200, "http://h/p1")
        assert json.loads(page.shape())["data"] == {"items": [], "n": []}
        assert json.loads(page.envelope()) == {
            "next": "/p2",
            "data": {"items": [], "n": [1]},
            "x": float("inf"),
        }
        assert json.loads(page.project(["b", "nope"])) == [{"b": [2]}, 5]
        assert json.loads(page.project(None, b"\1\0")) == [{"a": 1, "b": [2]}]
        assert page.select(["data", "items", None, "a"]) == 1
        assert page.select(["nope"]) == 0
        assert page.select(["data", "items", -1]) == 1
        page.decode(b"[1, 2, 3]")
        assert page.select([]) == 3
        page.release()
        with pytest.raises(ValueError, match="released"):
            page.body()
    finally:
        engine.close()


def test_extra_and_keep() -> None:
    engine = _core.Engine(workers=1)
    try:
        stream = make_stream(engine)
        engine.submit_bytes(stream, 1, b'[{"a": 1}, {"a": 2, "_p_id": 0}, {"a": 3}]')
        (page,) = engine.poll(5000)
        stream.accept(page, b"\1\1\0", b'{"_p_id": 9, "_p_list": [1]}')
        stream.finish()
        rows = rows_of(stream)
        assert [(row["a"], row["_p_id"]) for row in rows["items"]] == [(1, 9), (2, 9)]
        assert len(rows["items___p_list"]) == 2
    finally:
        engine.close()


def test_row_ids_of_streams_differ() -> None:
    engine = _core.Engine(workers=1, seed=SEED)
    try:
        ids = set()
        for _ in range(5):
            stream = make_stream(engine)
            engine.submit_bytes(stream, 1, json.dumps([{}] * 20).encode())
            (page,) = engine.poll(5000)
            stream.accept(page)
            stream.finish()
            ids.update(row["_dlt_id"] for row in rows_of(stream)["items"])
        assert len(ids) == 100
    finally:
        engine.close()


def test_cancel_ends_every_wait_within_200_ms() -> None:
    engine = _core.Engine(workers=2)
    stream = make_stream(engine)
    ended: list[float] = []

    def wait(call: Any) -> None:
        with pytest.raises(_core.Error, match="cancelled"):
            call(60_000)
        ended.append(time.monotonic())

    threads = [threading.Thread(target=wait, args=(call,)) for call in (engine.poll, stream.next_batch)]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    engine.cancel()
    for thread in threads:
        thread.join(10)
    engine.close()
    assert len(ended) == 2
    assert max(ended) - started < 0.2
    assert time.monotonic() - started < 0.4


def test_objects_outlive_their_engine() -> None:
    engine = _core.Engine(workers=1)
    stream = make_stream(engine)
    for tag in range(3):
        engine.submit_bytes(stream, tag, b"[{}]")
    pages: list[_core.Page] = []
    while len(pages) < 2:
        pages += engine.poll(5000)
    engine.close()
    engine.close()
    assert all(page.n_records == 1 for page in pages)
    with pytest.raises(_core.Error):
        engine.submit_bytes(stream, 9, b"[]")
    del engine, stream
    del pages
