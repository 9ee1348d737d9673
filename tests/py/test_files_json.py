"""`read_json`: documents of any size, their records at a path, against dlt with the same records as objects."""

import gzip
import json
import random

import dlt
import headrace.sources.filesystem as ours
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from docgen import record
from files_reading import served
from headrace import _core
from headrace._files import ahead
from oracle import assert_equal, make_pipeline, read_tables


@pytest.fixture
def files(files, monkeypatch):
    monkeypatch.setenv("HEADRACE__WORKERS", "2")
    return files


def load(tmp_path, files, name="ours", **options):
    pipeline = make_pipeline(tmp_path / name, name)
    pipeline.run(
        ours.filesystem(str(files), file_glob="*.json*") | ours.read_json(**options).with_name("rows"),
        loader_file_format="parquet",
    )
    return pipeline


def as_dlt(tmp_path, records):
    pipeline = make_pipeline(tmp_path / "dlt", "by_dlt")
    pipeline.run(dlt.resource(records, name="rows"), loader_file_format="parquet")
    return pipeline


def orders(first, n):
    return [
        {"id": i, "lines": [{"sku": f"s]{k},", "n": k} for k in range(i % 4)], "x": {"y": i / 3}}
        for i in range(first, first + n)
    ]


@pytest.mark.parametrize("size", [61, 1000, 240_000])
def test_lists_and_paths(tmp_path, files, monkeypatch, size):
    monkeypatch.setattr(ahead, "BLOCK_BYTES", size)
    (files / "a.json").write_text(json.dumps(orders(0, 300), indent=1))
    (files / "b.json").write_bytes(gzip.compress(json.dumps(orders(300, 200)).encode()))
    (files / "c.json").write_text("[]")
    (files / "d.json").write_text(json.dumps({"id": 500, "lines": []}))  # one record
    pipeline = load(tmp_path, files)
    assert_equal(as_dlt(tmp_path, [*orders(0, 500), {"id": 500, "lines": []}]), pipeline)
    assert served(pipeline, "rows")["native"] and served(pipeline, "rows")["counts"]["files"] == 4
    assert [row["id"] for row in read_tables(pipeline)["rows"]] == list(range(501))


@pytest.mark.parametrize("size", [64, 240_000])
def test_a_path_to_the_records(tmp_path, files, monkeypatch, size):
    monkeypatch.setattr(ahead, "BLOCK_BYTES", size)
    document = {
        "items": [1],
        "meta": {"data": {"items": [2]}},
        "data": {"n": "items", "items": orders(0, 200), "more": [{}]},
    }
    (files / "a.json").write_text(json.dumps(document))
    (files / "b.json").write_text(json.dumps({"data": {"items": {"id": 200}}}))
    pipeline = load(tmp_path, files, record_path="data.items")
    assert_equal(as_dlt(tmp_path, [*orders(0, 200), {"id": 200}]), pipeline)


def test_steps_in_python_get_the_same(tmp_path, files):
    (files / "a.json").write_text(json.dumps(orders(0, 50)))
    reader = ours.filesystem(str(files), file_glob="*.json") | ours.read_json(chunksize=7).with_name("rows")
    sizes = []
    reader.add_map(lambda one: (sizes.append(1), one)[1])
    pipeline = make_pipeline(tmp_path, "mapped")
    pipeline.run(reader, loader_file_format="parquet")
    assert_equal(as_dlt(tmp_path, orders(0, 50)), pipeline)
    assert len(sizes) == 50 and "step in Python" in served(pipeline, "rows")["in_python"][0]


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ('[{"id": 1}, {"id": 2', "", "after record 1, byte 10: Error: the document ends within a list or an object at byte 20"),
        ('[{"id": 1}, {"id": "2', "", "the document ends within a string at byte 21"),
        ("", "", "expected a list or an object, found the end of the document at byte 0"),
        ('{"a": 1}', "b", "the path of the records is not there: its object ends at byte 7"),
        ('{"b": 5, "c": []}', "b", "expected a list or an object at the path, found something else at byte 7"),
        ('{"b": null}', "b", "expected a list or an object at the path, found something else at byte 10"),
        ('{"b": [1]}', "b.c", "expected an object on the way to the records, found a list at byte 6"),
        ('[{"id": 1}] x', "", "expected the end of the document, found more at byte 12"),
        ('[{"id": 1}] []', "", "expected the end of the document, found more at byte 12"),
        ('[{"id": 1}}', "", "brackets do not pair at byte 10"),
        ('[{"id": 1},]', "", "found ']' at byte 11"),
        ('[{"id": 1}, {"id": 02}]', "", "record 2, byte 11: a number has a leading zero at byte 19"),
        ('[{"id": 1}, {"id": 2]}]', "", "brackets do not pair at byte 21"),
        ('[{"id": 1]}, {"id": 2}]', "", "brackets do not pair at byte 10"),
        ('"text"', "", "expected a list or an object, found a string at byte 0"),
        ("17", "", "expected a list or an object, found the end of the document at byte 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path, files, text, path, message):
    (files / "a.json").write_text(text)
    with pytest.raises(PipelineStepFailed) as failed:
        load(tmp_path, files, record_path=path)
    assert message in str(failed.value) and "a.json" in str(failed.value)


def test_bad_records_are_skipped(tmp_path, files):
    (files / "a.json").write_text('[{"id": 1}, {"id": tru}, {"id": 3}, {"id": 4,}, {"id": 5}]')
    pipeline = load(tmp_path, files, on_error="skip_row")
    assert [row["id"] for row in read_tables(pipeline)["rows"]] == [1, 3, 5]
    assert [one["parent"]["place"] for one in served(pipeline, "rows")["skipped"]] == [
        "record 2, byte 11",
        "record 4, byte 35",
    ]


def test_records_that_dlt_takes(tmp_path, files):
    odd = {"id": 2, "": [{"a": 1}], "lines": [{"x": 1}]}
    (files / "a.json").write_text(json.dumps([{"id": 1}, odd, {"id": 3}]))
    assert_equal(as_dlt(tmp_path, [{"id": 1}, odd, {"id": 3}]), load(tmp_path, files))


def test_a_path_is_keys():
    with pytest.raises(Exception, match=r"expected keys with dots between them, found `a\.\.b`"):
        list(dlt.resource([1], name="x") | ours.read_json(record_path="a..b"))


@pytest.mark.parametrize("seed", range(3))
def test_any_cut_finds_the_same_records(seed):
    rng = random.Random(seed)
    for _ in range(60):
        records = [record(rng, 3) for _ in range(rng.randrange(6))]
        text = json.dumps(
            {"k": [record(rng, 2)], "a\\": {"é": records}, "z": {}}, ensure_ascii=False, indent=rng.choice([None, 2])
        ).encode()
        step = rng.randrange(1, 40)
        finder, found, carry = _core.Records((b"a\\\\", "é".encode())), [], b""
        for start in range(0, len(text), step):
            chunk = text[start : start + step]
            begin, end, is_done = finder.scan(chunk)
            if begin < 0:
                continue
            if end < 0:
                carry += chunk[begin:]
                continue
            found.append(carry + chunk[begin:end])
            carry = b"" if is_done else chunk[end + 1 :]
        finder.finish()
        assert [one for part in found for one in json.loads(b"[" + part + b"]")] == records
