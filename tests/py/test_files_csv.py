"""`filesystem(...) | read_csv()` against dlt's: the same files through both, tables and schemas equal."""

import gzip
import subprocess
import sys

import dlt.sources.filesystem as dlts
import headrace.sources.filesystem as ours
import pyarrow.parquet as pq
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from files_reading import both, served
from headrace import _writer
from headrace._files import csv_serve
from oracle import make_pipeline, read_tables


def orders(first, n):
    lines = ["id,Customer Name,amount,paid,created_at,note,empty"]
    for i in range(first, first + n):
        note = '"a ""note"", with\na line"' if i % 5 == 0 else "" if i % 5 == 1 else "plain"
        lines.append(f"{i},name {i % 7},{i / 4 if i % 3 else ''},{i % 2 == 0},2024-01-{i % 28 + 1:02} 10:00:00,{note},")
    return "\n".join(lines).encode() + b"\n"


def read(module, url, glob="*.csv*", **options):
    return dlts.filesystem(url, file_glob=glob) | module.read_csv(**options)  # files in the same order for both


@pytest.mark.every_dlt
def test_tables_are_dlts(tmp_path, files):
    (files / "a.csv").write_bytes(orders(0, 250))
    (files / "b.csv.gz").write_bytes(gzip.compress(orders(250, 50)))
    (files / "c.csv").write_bytes(b"id,more,Customer Name\nx,1.5,y\n7,2,z\n")  # a variant, another column
    _, pipeline = both(tmp_path, files, lambda module, url, _: read(module, url, chunksize=100))
    found = served(pipeline, "_read_csv")
    assert found["native"] and not found["in_python"]
    assert found["counts"]["rows"] == found["counts"]["records"] == 302 and found["counts"]["files"] == 3
    rows = read_tables(pipeline)["_read_csv"]
    ids = [row["id"] for row in rows if row["customer_name"].startswith("name")]  # dlt lists files in any order
    assert sorted(ids) == list(range(300)) and ids[ids.index(0) :][:250] == list(range(250))
    assert sum(row["id__v_text"] == "x" for row in rows) == 1 and "empty" not in rows[0]


@pytest.mark.parametrize("write", ["append", "merge", "replace"])
def test_dispositions_and_hints(tmp_path, files, write):
    (files / "a.csv").write_bytes(orders(0, 20) + b"3,again,1.5,True,2024-01-01T00:00:00Z,x,\n")

    def make(module, url, number):
        resource = read(module, url).with_name("orders")
        columns = {"amount": {"data_type": "decimal", "precision": 12, "scale": 4}, "note": {"data_type": "text"}}
        keys = {"primary_key": "id"} if write == "merge" else {}
        resource.apply_hints(write_disposition=write, columns=columns, **keys)
        return resource

    _, pipeline = both(tmp_path, files, make)
    assert served(pipeline, "orders")["native"]


def test_upsert_and_scd2_rows_have_dlts_ids(tmp_path, files):
    (files / "a.csv").write_bytes(orders(0, 20))
    for strategy in ("upsert", "scd2"):

        def make(module, url, number, strategy=strategy):
            resource = read(module, url).with_name("orders")
            resource.apply_hints(write_disposition={"disposition": "merge", "strategy": strategy}, primary_key="id")
            return resource

        theirs, mine = both(tmp_path / strategy, files, make)
        ids = [sorted(row["_dlt_id"] for row in read_tables(one)["orders"]) for one in (theirs, mine)]
        assert ids[0] == ids[1]


@pytest.mark.parametrize(
    "options",
    [
        {"sep": ";", "decimal": ",", "dtype": {"code": "str"}},
        {"sep": ";", "decimal": ",", "usecols": ["code", "price"], "nrows": 2},
        {"sep": ";", "decimal": ",", "parse_dates": ["day"]},  # pandas reads it
        {"sep": ";", "decimal": ",", "index_col": False},
        {"sep": ";", "header": None},
    ],
)
def test_options(tmp_path, files, options):
    (files / "a.csv").write_bytes(b"code;price;day\n007;1,5;2024-01-02\n008;2,5;2024-01-03\n009;;2024-01-04\n")
    both(tmp_path, files, lambda module, url, _: read(module, url, **options))


def test_records_pass_steps_in_python(tmp_path, files):
    (files / "a.csv").write_bytes(orders(0, 20))

    def make(module, url, number):
        return read(module, url).add_map(lambda row: {**row, "twice": row["id"] * 2})

    _, pipeline = both(tmp_path, files, make)
    assert served(pipeline, "_read_csv")["in_python"]
    assert list(read(ours, str(files)))[3]["Customer Name"] == "name 3"  # outside of a pipeline: records


def run(tmp_path, files, **options):
    pipeline = make_pipeline(tmp_path, "ours")
    pipeline.run(read(ours, str(files), **options), loader_file_format="parquet")
    return pipeline


def test_bad_rows_and_files(tmp_path, files):
    (files / "a.csv").write_bytes(b"id,n\n1,2\n3,4,5\n6,7\n")
    (files / "b.csv").write_bytes(b"id,n\n8,9\n")
    with pytest.raises(
        PipelineStepFailed, match=r"a\.csv: .*expected 2 fields, found 3 in the row at line 3, column 1"
    ):
        run(tmp_path / "raise", files)
    for way, want in (("skip_row", [1, 6, 8]), ("skip_file", [1, 8])):
        pipeline = run(tmp_path / way, files, on_error=way)
        assert sorted(row["id"] for row in read_tables(pipeline)["_read_csv"]) == want
        assert served(pipeline, "_read_csv")["counts"]["skipped"] == 1
        (skipped,) = served(pipeline, "_read_csv")["skipped"]
        assert skipped["url"].endswith("a.csv")


def test_rows_that_the_engine_refuses(tmp_path, files):
    (files / "a.csv").write_bytes(b"id,n\n1,2\n" + b"2,3\n" * 100 + b"3,\xff\n")
    (files / "b.csv").write_bytes(b"id,n\n8,9\n")
    with pytest.raises(PipelineStepFailed, match=r"a\.csv.*text that is not UTF-8 .* at line 103, column 3"):
        run(tmp_path / "raise", files, encoding="utf-8")
    pipeline = run(tmp_path / "skip", files, encoding="utf-8", on_error="skip_file", chunksize=10)
    assert sorted(row["id"] for row in read_tables(pipeline)["_read_csv"]) == [1] + [2] * 99 + [8]


def test_an_encoding_that_is_found_is_told(tmp_path, files, logged):
    (files / "a.csv").write_bytes("name,city\nJosé,Málaga\n".encode("cp1252"))
    assert [row["city"] for row in read_tables(run(tmp_path, files))["_read_csv"]] == ["Málaga"]
    assert any("a.csv is read as windows-1252 (confidence 0." in line for line in logged)


def test_many_small_files(tmp_path, files):
    for number in range(150):
        (files / f"{number:03}.csv").write_bytes(f"id,n\n{number},{number * 2}\n".encode())
    pipeline = run(tmp_path, files)
    assert sorted(row["id"] for row in read_tables(pipeline)["_read_csv"]) == list(range(150))
    assert served(pipeline, "_read_csv")["counts"]["files"] == 150


def few_rows_at_once(monkeypatch):
    """Tables of a few hundred rows leave the engine, before more is read."""
    monkeypatch.setattr(_writer, "_TURN_BYTES", 1)
    monkeypatch.setattr(csv_serve, "_BATCH_BYTES", 1 << 14)
    monkeypatch.setattr(csv_serve, "_BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(csv_serve, "_AHEAD_BYTES", 0)
    monkeypatch.setattr(csv_serve, "_AHEAD_CHUNKS", 0)
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", "16384")


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_rows_go_to_a_file_a_core(tmp_path, files, monkeypatch, cores):
    few_rows_at_once(monkeypatch)
    monkeypatch.setattr(_writer.os, "cpu_count", lambda: cores)
    (files / "a.csv").write_bytes(orders(0, 3000))
    (files / "b.csv").write_bytes(b"id,late,Customer Name\n" + b"7,2,z\n" * 5000)  # files with that column begin anew
    _, mine = both(tmp_path, files, lambda module, url, _: read(module, url, chunksize=100))
    extracted = mine.last_trace.last_extract_info
    assert extracted.metrics[extracted.loads_ids[0]][0]["table_metrics"]["_read_csv"].items_count == 8000
    jobs = mine.last_trace.last_load_info.load_packages[0].jobs["completed_jobs"]
    n_files = sum(job.job_file_info.table_name == "_read_csv" for job in jobs)
    assert cores < n_files <= 2 * cores  # a file that has the column and one that does not, of each
    assert not list(tmp_path.rglob("headrace-*.parquet"))


def test_last_tables_are_cut_for_all_files(tmp_path, files, monkeypatch):
    few_rows_at_once(monkeypatch)
    monkeypatch.setattr(_writer.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(_writer, "_END_BYTES", 1 << 10)
    sizes = []
    write = _writer._RootFile.write
    monkeypatch.setattr(
        _writer._RootFile, "write", lambda file, table: (sizes.append(table.nbytes), write(file, table))
    )
    (files / "a.csv").write_bytes(orders(0, 3000))
    pipeline = run(tmp_path, files, chunksize=100)
    assert sorted(row["id"] for row in read_tables(pipeline)["_read_csv"]) == list(range(3000))
    assert max(sizes[:2]) > 1 << 12 and sizes[-1] < 1 << 11


def test_dictionaries_are_of_columns_that_repeat(tmp_path, files, monkeypatch):
    monkeypatch.setattr(_writer, "_DICTIONARY_BYTES", 1 << 10)
    columns = {
        "number": range(20_000),
        "name": [f"name {i}" for i in range(20_000)],
        "runs": [i // 4 for i in range(20_000)],
        "cycle": [i % 5000 for i in range(20_000)],
        "few": ["" if i % 100 else i for i in range(20_000)],
        "flag": [i % 2 == 0 for i in range(20_000)],
        "at": [f"2024-01-01T00:{i // 60 % 60:02}:{i % 60:02}" for i in range(20_000)],
    }
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (files / "a.csv").write_text("\n".join(rows))
    make_pipeline(tmp_path, "ours").extract(read(ours, str(files)), loader_file_format="parquet")
    (path,) = tmp_path.rglob("_read_csv.*.parquet")
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunks = [group.column(i) for i in range(group.num_columns)]
    with_dictionary = {chunk.path_in_schema for chunk in chunks if chunk.has_dictionary_page}
    assert with_dictionary == {"runs", "cycle", "few", "at", "_dlt_load_id"}  # Parquet has none of booleans
    table = pq.read_table(path)
    assert table["number"].to_pylist() == list(range(20_000)) and table["name"][-1].as_py() == "name 19999"


def test_reading_does_not_load_pandas(tmp_path, files):
    pytest.importorskip("pandas")  # pyarrow imports it for some conversions where it is installed: 0.2 s
    (files / "a.csv").write_bytes(orders(0, 20))
    (files / "a.jsonl").write_bytes(b'{"id": 1, "list": [1]}')
    code = (
        "import sys, dlt, headrace.sources.filesystem as files;"
        " p = dlt.pipeline('p', pipelines_dir='.', destination='duckdb');"
        f" listed = lambda glob: files.filesystem({str(files)!r}, file_glob=glob);"
        " p.extract([listed('*.csv') | files.read_csv(), listed('*.jsonl') | files.read_jsonl()], loader_file_format='parquet');"
        " assert 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_files_of_rows_that_were_not_given_are_removed(tmp_path, files, monkeypatch):
    few_rows_at_once(monkeypatch)
    (files / "a.csv").write_bytes(orders(0, 3000) + b"1,2,3,4,5,6,7,8,9\n")
    seen = []
    close = _writer._RootFile.close
    monkeypatch.setattr(_writer._RootFile, "close", lambda file: (seen.append(file.n_rows), close(file)))
    with pytest.raises(PipelineStepFailed, match="expected 7 fields, found 9"):
        run(tmp_path, files, chunksize=100)
    assert seen and not list(tmp_path.rglob("headrace-*.parquet"))


def test_limits_of_dlts_files_hold(tmp_path, files, monkeypatch):
    few_rows_at_once(monkeypatch)
    monkeypatch.setenv("DATA_WRITER__FILE_MAX_ITEMS", "500")
    monkeypatch.delattr(_writer, "_RootFile")  # dlt counts a file's rows, so that dlt writes them
    (files / "a.csv").write_bytes(orders(0, 3000))
    pipeline = make_pipeline(tmp_path, "ours")
    info = pipeline.extract(read(ours, str(files), chunksize=100), loader_file_format="parquet")
    counts = [metric.items_count for metric in info.metrics[info.loads_ids[0]][0]["job_metrics"].values()]
    assert sum(counts) == 3000 and len(counts) > 1


def test_settings_of_dlts_writer_hold(tmp_path, files, monkeypatch):
    monkeypatch.setenv("DATA_WRITER__COMPRESSION", "gzip")
    (files / "a.csv").write_bytes(orders(0, 30))
    pipeline = make_pipeline(tmp_path, "ours")
    pipeline.extract(read(ours, str(files)), loader_file_format="parquet")
    (path,) = tmp_path.rglob("_read_csv.*.parquet")
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "GZIP"
