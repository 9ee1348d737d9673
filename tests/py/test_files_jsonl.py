"""`filesystem(...) | read_jsonl()` against dlt's: the same files through both, tables equal."""

import bz2
import glob
import gzip
import json
import random
from pathlib import Path

import dlt
import dlt.sources.filesystem as dlts
import headrace.sources.filesystem as ours
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from docgen import record
from files_reading import both, served
from headrace import _writer
from headrace._files import ahead, lines, progress
from oracle import make_pipeline, read_tables

pytestmark = pytest.mark.usefixtures("_fresh")


@pytest.fixture
def _fresh(monkeypatch):
    monkeypatch.setenv("HEADRACE__WORKERS", "2")


def write(path, records, opener=open):
    with opener(path, "wb") as file:
        for one in records:
            file.write(json.dumps(one).encode() + b"\n")


def orders(first, n):
    for i in range(first, first + n):
        yield {
            "id": i,
            "at": f"2024-01-{i % 28 + 1:02}T10:00:00Z",
            "lines": [{"sku": f"s{k}", "n": k} for k in range(i % 4)],
        }


def plain(module, url, number, glob="*.jsonl"):
    return module.filesystem(url, file_glob=glob) | module.read_jsonl()


@pytest.mark.every_dlt
def test_tables_are_dlts(tmp_path, files):
    write(files / "a.jsonl", orders(0, 300))
    write(files / "b.jsonl", orders(300, 100))
    (files / "c.jsonl").write_bytes(b"")
    write(files / "d.jsonl", [{"id": "text", "more": {"deep": [1, 2, [3]]}}, {"id": None}])
    _, pipeline = both(tmp_path, files, plain, runs=2)
    found = served(pipeline, "_read_jsonl")
    assert found["native"] and not found["in_python"]
    assert found["counts"]["files"] == 4 and found["counts"]["records"] == found["counts"]["rows"] == 402
    ids = [row["id"] for row in read_tables(pipeline)["_read_jsonl"]]
    assert ids[ids.index(0) :][:300] == list(range(300)) and ids[ids.index(300) :][:100] == list(range(300, 400))


@pytest.mark.parametrize("seed", range(4))
def test_random_records_over_changing_files(tmp_path, files, seed):
    rng = random.Random(seed)
    for number in range(6):
        write(files / f"{number:02}.jsonl", [record(rng, 3) for _ in range(10)])
    try:
        make_pipeline(tmp_path / "first", "first").run(plain(dlts, str(files), 0), loader_file_format="parquet")
    except PipelineStepFailed:  # dlt does not load every document
        with pytest.raises(PipelineStepFailed):
            make_pipeline(tmp_path / "ours", "ours").run(plain(ours, str(files), 0), loader_file_format="parquet")
        return
    both(tmp_path, files, plain)


def test_pieces_are_cut_at_any_line(tmp_path, files, monkeypatch):
    monkeypatch.setattr(ahead, "BLOCK_BYTES", 257)
    monkeypatch.setattr(lines, "_ENOUGH_BYTES", 100)
    write(files / "a.jsonl", orders(0, 200))
    with (files / "a.jsonl").open("ab") as file:
        file.write(b"\r\n  \r\n" + json.dumps({"id": 1000, "text": "x" * 3000}).encode() + b'\r\n\n{"id": 1001}')
    pipeline = make_pipeline(tmp_path, "cut")
    pipeline.run(plain(ours, str(files), 0), loader_file_format="parquet")
    rows = read_tables(pipeline)
    assert [row["id"] for row in rows["_read_jsonl"]] == [*range(200), 1000, 1001]
    assert len(rows["_read_jsonl__lines"]) == sum(i % 4 for i in range(200))


def test_rows_go_to_a_file_a_core(tmp_path, files, monkeypatch):
    monkeypatch.setattr(_writer.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(_writer, "_TURN_BYTES", 1)
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", "16384")
    monkeypatch.setenv("HEADRACE__MEMORY_LIMIT", str(32 << 20))  # of which 1 MiB is fed at once
    text = "x" * 2000
    write(files / "a.jsonl", [{"id": i, "text": text, "list": [i], "a": i} for i in range(2000)])
    write(
        files / "b.jsonl", [{"id": i, "text": text, "b": i} for i in range(2000, 4000)]
    )  # the second's files begin anew
    in_order = {"file_glob": "*.jsonl"}  # dlt's own listing for both
    _, mine = both(tmp_path, files, lambda module, url, _: dlts.filesystem(url, **in_order) | module.read_jsonl())
    assert served(mine, "_read_jsonl")["counts"]["rows"] == 4000
    extracted = mine.last_trace.last_extract_info
    assert extracted.metrics[extracted.loads_ids[0]][0]["table_metrics"]["_read_jsonl"].items_count == 4000
    jobs = mine.last_trace.last_load_info.load_packages[0].jobs["completed_jobs"]
    n_files = sum(job.job_file_info.table_name == "_read_jsonl" for job in jobs)
    assert 2 < n_files <= 4
    assert not list(tmp_path.rglob("headrace-*.parquet"))


def test_a_merge_keeps_the_row_that_dlt_keeps(tmp_path, files, monkeypatch):
    monkeypatch.setattr(_writer, "_TURN_BYTES", 1)
    monkeypatch.setattr(_writer.os, "cpu_count", lambda: 2)
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", "16384")
    monkeypatch.setenv("HEADRACE__MEMORY_LIMIT", str(32 << 20))  # of which 1 MiB is fed at once
    text = "x" * 2000
    write(files / "a.jsonl", [{"id": i % 500, "turn": i // 500, "text": text, "lines": [i]} for i in range(4000)])

    def make(module, url, _):
        reader = plain(module, url, 0).with_name("orders")
        reader.apply_hints(write_disposition="merge", primary_key="id")
        return reader

    _, mine = both(tmp_path, files, make)
    assert served(mine, "orders")["native"]
    assert len(read_tables(mine)["orders"]) == 500


@pytest.mark.parametrize("way", ["append", "replace", "merge", {"disposition": "merge", "strategy": "upsert"}])
def test_write_dispositions(tmp_path, files, way):
    write(files / "0.jsonl", orders(0, 30))
    write(files / "1.jsonl", orders(20, 30))

    def make(module, url, number):
        reader = module.filesystem(url, file_glob=f"{number}.jsonl") | module.read_jsonl(chunksize=7).with_name(
            "orders"
        )
        reader.apply_hints(write_disposition=way, primary_key="id")
        return reader

    _, pipeline = both(tmp_path, files, make, runs=2)
    assert served(pipeline, "orders")["native"]


def test_column_hints_and_readers_source(tmp_path, files):
    write(files / "a.jsonl", orders(0, 30))

    def make(module, url, number):
        source = module.readers(url, file_glob="*.jsonl").with_resources("read_jsonl")
        source.read_jsonl.apply_hints(columns={"id": {"data_type": "text"}, "at": {"data_type": "date"}})
        source.read_jsonl.max_table_nesting = 0
        return source

    _, pipeline = both(tmp_path, files, make)
    assert served(pipeline, "read_jsonl")["native"]


@pytest.mark.parametrize("kind", ["map", "filter", "incremental", "contract", "nested_hints"])
def test_what_needs_python_falls_back(tmp_path, files, kind):
    write(files / "a.jsonl", orders(0, 40))
    write(files / "b.jsonl", orders(40, 40))

    def make(module, url, number):
        reader = module.filesystem(url, file_glob="*.jsonl") | module.read_jsonl(chunksize=9)
        if kind == "map":
            reader.add_map(lambda one: {**one, "mapped": one["id"] * 2})
        elif kind == "filter":
            reader.add_filter(lambda one: one["id"] % 3 == 0)
        elif kind == "incremental":
            reader.apply_hints(incremental=dlt.sources.incremental("id", initial_value=25))
        elif kind == "contract":
            reader.apply_hints(schema_contract={"columns": "discard_value", "tables": "evolve", "data_type": "evolve"})
        else:
            reader.apply_hints(
                nested_hints={"lines": dlt.mark.make_nested_hints(columns=[{"name": "n", "data_type": "text"}])}
            )
        return reader

    _, pipeline = both(tmp_path, files, make, runs=2)
    (why,) = served(pipeline, "_read_jsonl")["in_python"]
    assert "records become Python objects" in why


def test_a_transformer_behind_the_reader(tmp_path, files):
    write(files / "a.jsonl", orders(0, 40))

    def make(module, url, number):
        def count(items):
            return [{"id": one["id"], "n": len(one["lines"])} for one in items]

        return module.filesystem(url, file_glob="*.jsonl") | module.read_jsonl() | dlt.transformer(count, name="counts")

    both(tmp_path, files, make)


def test_a_limit_on_files_and_files_per_page(tmp_path, files, monkeypatch):
    anyhow = glob.glob
    monkeypatch.setattr(
        glob, "glob", lambda *args, **kwargs: sorted(anyhow(*args, **kwargs))
    )  # dlt takes what comes first
    for number in range(25):
        write(files / f"{number:02}.jsonl", orders(number * 10, 10))

    def make(module, url, number):
        return module.filesystem(url, file_glob="*.jsonl", files_per_page=4).add_limit(3) | module.read_jsonl()

    _, pipeline = both(tmp_path, files, make)
    assert served(pipeline, "_read_jsonl")["counts"]["files"] == 12


def test_extract_content_and_incremental_files(tmp_path, files):
    write(files / "a.jsonl", orders(0, 10))

    def make(module, url, number):
        if number:
            write(files / "b.jsonl", orders(100, 10))
        found = module.filesystem(
            url, file_glob="*.jsonl", extract_content=True, incremental=dlt.sources.incremental("modification_date")
        )
        return found | module.read_jsonl()

    pipelines = both(tmp_path, files, make)
    for name, pipeline in zip((dlts, ours), pipelines, strict=True):
        pipeline.run(make(name, str(files), 1), loader_file_format="parquet")
    assert len(read_tables(pipelines[1])["_read_jsonl"]) == 20


def test_compressed_files_in_order(tmp_path, files):
    openers = [open, gzip.open, bz2.open]
    for number in range(9):
        name = files / f"{number}.jsonl{['', '.gz', '.bz2'][number % 3]}"
        write(name, orders(number * 1000, 1000), openers[number % 3])
    write(files / "9.jsonl", orders(9000, 10), gzip.open)  # its name does not say so
    pipeline = make_pipeline(tmp_path, "packed")
    pipeline.run(plain(ours, str(files), 0, "*.jsonl*"), loader_file_format="parquet")
    found = [row["id"] for row in read_tables(pipeline)["_read_jsonl"]]
    assert sorted(found) == list(range(9010))
    assert all(found.index(n * 1000) + 9 == found.index(n * 1000 + 9) for n in range(10))


def test_two_readers_in_a_source(tmp_path, files):
    for number in range(40):
        write(files / f"{number:02}.jsonl", orders(number * 100, 100))

    def make(module, url, number):
        readers = [
            module.filesystem(url, file_glob=f"{n}*.jsonl", files_per_page=3)
            | module.read_jsonl().with_name(f"part_{n}")
            for n in range(4)
        ]

        @dlt.source(name="parts")
        def parts():
            return readers

        return parts()

    both(tmp_path, files, make)


# ---- bad files


BAD = b'{"id": 1}\n{"id": 2, "x": tru}\n{"id": 3}\n{"id": 4\n{"id": 5}\n'


def sorted_as(files, ids):
    """The ids in the order in which the files are listed, which the filesystem chooses."""
    return [
        one for item in ours.filesystem(str(files), file_glob="*") for one in ids[item["file_name"].partition(".")[0]]
    ]


def run_bad(tmp_path, files, on_error, glob="*.jsonl*"):
    pipeline = make_pipeline(tmp_path, "bad")
    pipeline.run(
        ours.filesystem(str(files), file_glob=glob) | ours.read_jsonl(on_error=on_error), loader_file_format="parquet"
    )
    return pipeline


def test_a_bad_line_raises_with_its_place(tmp_path, files):
    (files / "a.jsonl").write_bytes(b'{"id": 0}\n')
    (files / "b.jsonl").write_bytes(BAD)
    with pytest.raises(
        PipelineStepFailed,
        match=r"b\.jsonl, line 2, byte 10: expected 'true', found '}' at byte 28.* 1 records of the file",
    ):
        run_bad(tmp_path, files, "raise")


def test_bad_rows_are_skipped_and_told(tmp_path, files):
    (files / "a.jsonl").write_bytes(b'{"id": 0}\n')
    (files / "b.jsonl").write_bytes(BAD)
    (files / "c.jsonl").write_bytes(b'{"id": 6}')
    pipeline = run_bad(tmp_path, files, "skip_row")
    assert [row["id"] for row in read_tables(pipeline)["_read_jsonl"]] == sorted_as(
        files, {"a": [0], "b": [1, 3, 5], "c": [6]}
    )
    found = served(pipeline, "_read_jsonl")
    assert found["counts"]["skipped"] == found["counts"]["left_out"] == 2 and found["counts"]["records"] == 7
    assert [one["parent"]["place"] for one in found["skipped"]] == ["line 2, byte 10", "line 4, byte 40"]
    kept = next(iter(pipeline.state["sources"].values()))["resources"]["_read_jsonl"]["headrace_skipped_files"]
    assert kept["rows"] == 2 and kept["files"] == 0 and len(kept["listed"]) == 2


def test_bad_files_are_skipped_whole_if_they_are_small(tmp_path, files):
    (files / "a.jsonl").write_bytes(b'{"id": 0}\n')
    (files / "b.jsonl").write_bytes(BAD)
    (files / "c.jsonl").write_bytes(b'{"id": 6}')
    pipeline = run_bad(tmp_path, files, "skip_file")
    assert [row["id"] for row in read_tables(pipeline)["_read_jsonl"]] == sorted_as(
        files, {"a": [0], "b": [], "c": [6]}
    )
    (one,) = served(pipeline, "_read_jsonl")["skipped"]
    assert one["parent"]["what"] == "file" and one["parent"]["read"] == 0


def test_a_big_bad_file_keeps_what_was_read(tmp_path, files):
    write(files / "a.jsonl", orders(0, 8000))
    text = (files / "a.jsonl").read_bytes().replace(b'"id": 7000', b'"id": 7000,,')
    (files / "a.jsonl").write_bytes(text)
    (files / "b.jsonl").write_bytes(b'{"id": 9000}')
    pipeline = run_bad(tmp_path, files, "skip_file")
    assert [row["id"] for row in read_tables(pipeline)["_read_jsonl"]] == sorted_as(
        files, {"a": [*range(7000)], "b": [9000]}
    )
    (one,) = served(pipeline, "_read_jsonl")["skipped"]
    assert one["parent"]["read"] == 7000 and one["parent"]["place"].startswith("line 7001, byte ")


@pytest.mark.parametrize("on_error", ["raise", "skip_row"])
def test_a_cut_archive(tmp_path, files, on_error):
    rng = random.Random(1)
    write(files / "a.jsonl.gz", [{"id": i, "x": rng.random()} for i in range(20000)], gzip.open)
    content = (files / "a.jsonl.gz").read_bytes()
    (files / "a.jsonl.gz").write_bytes(content[: len(content) // 2])
    if on_error == "raise":
        with pytest.raises(
            PipelineStepFailed, match=r"a\.jsonl\.gz, after line \d+.*the gzip data end within member 1"
        ):
            run_bad(tmp_path, files, on_error)
        return
    pipeline = run_bad(tmp_path, files, on_error)
    n_rows = len(read_tables(pipeline)["_read_jsonl"])
    (one,) = served(pipeline, "_read_jsonl")["skipped"]
    assert 5000 < n_rows < 15000 and one["parent"]["read"] == n_rows


def test_a_file_that_vanished(tmp_path, files):
    write(files / "a.jsonl", orders(0, 5))
    write(files / "b.jsonl", orders(5, 5))
    listed = ours.filesystem(str(files), file_glob="*.jsonl")
    listed.add_map(
        lambda item: (Path(item.local_file_path).unlink(), item)[1] if item["file_name"] == "a.jsonl" else item
    )
    pipeline = make_pipeline(tmp_path, "gone")
    pipeline.run(listed | ours.read_jsonl(on_error="skip_file"), loader_file_format="parquet")
    assert [row["id"] for row in read_tables(pipeline)["_read_jsonl"]] == [5, 6, 7, 8, 9]
    assert "FileNotFoundError" in served(pipeline, "_read_jsonl")["skipped"][0]["error"]


def test_records_that_dlt_takes(tmp_path, files):
    """A record that the engine does not take, here for its key, goes to dlt; what stands around it does not."""
    odd = {"id": 2, "": [{"a": 1}], "n": 6, "lines": [{"x": 1}]}
    write(files / "a.jsonl", [{"id": 1, "n": 5}, odd, {"id": 3, "n": 7}, {**odd, "id": 4}, {"id": 5}])
    _, pipeline = both(tmp_path, files, plain)
    assert served(pipeline, "_read_jsonl")["counts"]["rows"] == 5


def test_a_line_that_is_cut_is_the_bad_one(tmp_path, files):
    (files / "a.jsonl").write_bytes(b'{"id": 1}\n{"id": 2, "x": \n{"id": 3}\n{"id": 4}\n')
    pipeline = run_bad(tmp_path, files, "skip_row")
    assert [row["id"] for row in read_tables(pipeline)["_read_jsonl"]] == [1, 3, 4]
    (one,) = served(pipeline, "_read_jsonl")["skipped"]
    assert one["parent"]["place"] == "line 2, byte 10"
    assert "expected the rest of the document before the line's end, found byte 0x0a at byte 25" in one["error"]


def test_progress_by_bytes_with_the_time_left(tmp_path, files, monkeypatch):
    shown = []

    class Collector:
        def update(self, name, inc=1, total=None, inc_total=None, message=None, label=None):
            shown.append((name, inc, total, message))

    monkeypatch.setattr(progress, "_EVERY_S", 0)
    made = progress.Progress("r")
    made._collector = Collector()
    made.add([{"size_in_bytes": 1000}, {"size_in_bytes": 3000}, {}])
    monkeypatch.setattr(progress.time, "monotonic", lambda now=made._began: now + 90)
    made.show(1000, 1, 10)
    made.show(4000, 2, 30, is_last=True)
    assert shown == [
        ("r bytes", 1000, 4000, "4:30 left"), ("r files", 1, None, None), ("r rows", 10, None, None),
        ("r bytes", 3000, 4000, None), ("r files", 1, None, None), ("r rows", 20, None, None),
    ]  # fmt: skip
