"""Parquet, Avro and ORC: values, types, pushdown and child tables against pyarrow, fastavro and dlt's own reader; bad files."""

import datetime
import decimal
import io
import random
from pathlib import Path

import dlt.sources.filesystem as dlt_files
import fastavro
import headrace.sources.filesystem as files
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from files_reading import read, run
from oracle import make_pipeline, read_tables, trees

UTC = datetime.timezone.utc


def nested_table(n):
    random.seed(n)
    records = [
        {
            "id": i,
            "name": f"n {i % 7}",
            "at": datetime.datetime(2024, 1, 1, tzinfo=UTC) + datetime.timedelta(seconds=i),
            "amount": decimal.Decimal(i) / 100,
            "place": {"city": f"c{i % 3}", "geo": {"x": i / 2, "y": -i}},
            "lines": [{"sku": f"s{k}", "n": k, "tags": ["a", "b"][: k % 3]} for k in range(i % 4)],
            "codes": list(range(i % 3)),
        }
        for i in range(n)
    ]
    return pa.Table.from_pylist(records)


# ---- Parquet


def test_nested_parquet_is_the_tables_that_dlt_makes(tmp_path):
    plain = nested_table(100).drop_columns(["amount"])  # in JSON a decimal is one of dlt's precision
    pq.write_table(plain, tmp_path / "a.parquet", row_group_size=30)
    pq.write_table(plain.slice(0, 20), tmp_path / "b.parquet")
    theirs = run(dlt_files, "read_parquet", tmp_path, tmp_path / "dlt", "*.parquet")
    ours = run(files, "read_parquet", tmp_path, tmp_path / "ours", "*.parquet")
    assert sorted(read_tables(ours)) == ["t", "t__codes", "t__lines", "t__lines__tags"]
    assert trees(ours) == trees(theirs)


def test_files_with_other_columns_and_narrower_types_go_into_one_table(tmp_path):
    pq.write_table(pa.table({"id": pa.array([1, 2], pa.int64()), "a": [1.5, None]}), tmp_path / "a.parquet")
    narrow = pa.schema(
        [pa.field("id", pa.int32(), False), pa.field("b", pa.string()), pa.field("c", pa.int64(), False)]
    )
    pq.write_table(pa.table([[3], ["x"], [7]], schema=narrow), tmp_path / "b.parquet")
    rows = read_tables(run(files, "read_parquet", tmp_path, tmp_path / "ours", "*.parquet"))["t"]
    rows.sort(key=lambda row: row["id"])
    assert [(row["id"], row["a"], row["b"]) for row in rows] == [(1, 1.5, None), (2, None, None), (3, None, "x")]


def test_columns_and_row_groups_are_pushed_down(tmp_path, monkeypatch):
    table = pa.table(
        {"a": range(1000), "b": [str(i) for i in range(1000)], "s": [{"x": i, "y": i} for i in range(1000)]}
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    asked = []
    iter_batches = pq.ParquetFile.iter_batches

    def noted(self, batch_size, row_groups, columns):
        asked.append((row_groups, columns))
        return iter_batches(self, batch_size, row_groups=row_groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    found = pa.concat_tables(
        read(files._read_parquet, tmp_path, columns=["b"], filters=[("a", ">", 850), ("a", "<=", 900)])
    )
    assert found.to_pydict() == {"b": [str(i) for i in range(851, 901)]}
    assert asked == [([8], ["b", "a"]), ([9], ["b", "a"])]
    found = pa.concat_tables(read(files._read_parquet, tmp_path, filters=pc.field("a") == 7))
    assert found["b"].to_pylist() == ["7"]
    assert asked[-1] == ([0], None)
    found = pa.concat_tables(read(files._read_parquet, tmp_path, columns=["s.x"]))
    assert found["s"].to_pylist()[5] == {"x": 5}
    assert read(files._read_parquet, tmp_path, filters=[("a", ">", 5000)])[0].num_rows == 0
    with pytest.raises(Exception, match="no column `c`; the file has a, b, s"):
        read(files._read_parquet, tmp_path, columns=["c"])


def test_arguments_are_not_taken_from_the_environment_by_mistake(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")  # the terminal's width
    monkeypatch.setenv("SOURCES__ON_ERROR", "skip_file")
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"no")
    assert len(read_tables(run(files, "read_parquet", tmp_path, tmp_path / "work", "*.parquet"))["t"]) == 2


def test_batches_are_of_batch_bytes_or_chunksize(tmp_path, monkeypatch):
    pq.write_table(pa.table({"a": range(100_000)}), tmp_path / "a.parquet")
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", "80000")
    assert 5 < len(read(files._read_parquet, tmp_path)) < 50
    assert [len(t) for t in read(files._read_parquet, tmp_path, chunksize=40_000)] == [40_000, 40_000, 20_000]


def test_a_flat_file_is_linked_into_the_load_package(tmp_path):
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), tmp_path / "a.parquet")
    pipeline = make_pipeline(tmp_path / "work", "files")
    reader = files.filesystem(f"file://{tmp_path}", file_glob="*.parquet") | files.read_parquet(
        nested="keep"
    ).with_name("t")
    pipeline.extract(reader, loader_file_format="parquet")
    pipeline.normalize()
    job = next(job for job in pipeline.list_normalized_load_packages())
    package = pipeline.get_load_package_info(job)
    (path,) = [one.file_path for jobs in package.jobs.values() for one in jobs if one.job_file_info.table_name == "t"]
    assert Path(path).samefile(tmp_path / "a.parquet")
    pipeline.load()
    assert read_tables(pipeline)["t"] == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_rows_that_a_step_looks_at_are_read_and_not_linked(tmp_path):
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "a.parquet")
    reader = files.read_parquet(use_pyarrow=True).with_name("t")
    reader.add_map(lambda table: table.slice(1))
    pipeline = make_pipeline(tmp_path / "work", "files")
    pipeline.run(files.filesystem(f"file://{tmp_path}", file_glob="*.parquet") | reader, loader_file_format="parquet")
    assert read_tables(pipeline)["t"] == [{"a": 2}]


def test_kept_nested_columns_are_dlts(tmp_path):
    pq.write_table(nested_table(10), tmp_path / "a.parquet")
    theirs = run(dlt_files, "read_parquet", tmp_path, tmp_path / "dlt", "*.parquet", use_pyarrow=True)
    ours = run(files, "read_parquet", tmp_path, tmp_path / "ours", "*.parquet", use_pyarrow=True)
    assert read_tables(ours) == read_tables(theirs)


# ---- Avro

LEAVES = [
    ("boolean", "bool", [True, False]),
    ("int", "int32", [-(2**31), 2**31 - 1]),
    ("long", "int64", [-(2**63), 2**63 - 1]),
    ("float", "float", [1.5]),
    ("double", "double", [1e300]),
    ("bytes", "binary", [b"\0\xff"]),
    ("string", "string", ["", "\U0001f600"]),
    (["null", "long"], "int64", [None, 5]),
    (["string", "null"], "string", [None, "x"]),
    ("null", "null", [None]),
    ({"type": "enum", "name": "e", "symbols": ["A", "B"]}, "string", ["A", "B"]),
    (["null", {"type": "enum", "name": "e", "symbols": ["A", "B"]}], "string", ["B", None]),
    ({"type": "fixed", "name": "f", "size": 4}, "fixed_size_binary[4]", [b"abcd"]),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2},
        "decimal128(10, 2)",
        ["-1.25", "12345678.90"],
    ),
    (
        {"type": "fixed", "name": "f", "size": 9, "logicalType": "decimal", "precision": 20, "scale": 3},
        "decimal128(20, 3)",
        ["-1.250"],
    ),
    ({"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2}, "decimal256(50, 2)", ["-1.25"]),
    ({"type": "int", "logicalType": "date"}, "date32[day]", [datetime.date(1969, 12, 31)]),
    ({"type": "int", "logicalType": "time-millis"}, "time32[ms]", [datetime.time(1, 2, 3, 4000)]),
    ({"type": "long", "logicalType": "time-micros"}, "time64[us]", [datetime.time(1, 2, 3, 4)]),
    (
        {"type": "long", "logicalType": "timestamp-millis"},
        "timestamp[ms, tz=UTC]",
        [datetime.datetime(2020, 1, 2, tzinfo=UTC)],
    ),
    (
        {"type": "long", "logicalType": "timestamp-micros"},
        "timestamp[us, tz=UTC]",
        [datetime.datetime(1920, 1, 2, tzinfo=UTC)],
    ),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, "timestamp[us]", [datetime.datetime(2020, 1, 2, 3)]),
    ({"type": "string", "logicalType": "uuid"}, "string", ["f3774d68-40a4-4430-9c1e-6826cb23e89c"]),
    ({"type": "long", "logicalType": "unheard-of"}, "int64", [3]),
    ({"type": "array", "items": ["null", "string"]}, "list<item: string>", [["a", None], []]),
    ({"type": "map", "values": "long"}, "map<string, int64>", [[("a", 1), ("b", 2)], []]),
    (["null", "long", "string"], "struct<long: int64, string: string>", [None, {"long": 1, "string": None}]),
    (["int", "long", "null"], "int64", [1, 2**40, None]),
]


def avro(folder, schema, records, codec="null", name="a.avro", **options):
    with (folder / name).open("wb") as file:
        fastavro.writer(file, schema, records, codec=codec, **options)


def as_avro(value):
    """What fastavro writes for a value as Arrow has it."""
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    if isinstance(value, dict):
        return next((member for member in value.values() if member is not None), None)
    return value


@pytest.mark.parametrize(("schema", "arrow", "values"), LEAVES, ids=lambda value: None)
def test_avro_types_are_arrows(tmp_path, schema, arrow, values):
    if arrow.startswith("decimal"):
        values = [decimal.Decimal(value) for value in values]
    written = [{} if schema == {"type": "map", "values": "long"} and not value else as_avro(value) for value in values]
    record = {"type": "record", "name": "r", "fields": [{"name": "a", "type": schema}, {"name": "b", "type": "int"}]}
    avro(tmp_path, record, [{"a": value, "b": i} for i, value in enumerate(written)])
    (table,) = read(files._read_avro, tmp_path)
    assert str(table.schema.field("a").type) == arrow
    assert table["a"].to_pylist() == values
    assert table["b"].to_pylist() == list(range(len(values)))
    table.validate(full=True)


def test_avro_by_columns_is_what_it_is_by_objects(tmp_path):
    place = {"type": "record", "name": "Place", "namespace": "x.y", "fields": [{"name": "city", "type": "string"}]}
    schema = {
        "type": "record",
        "name": "r",
        "namespace": "x.y",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "from", "type": place},
            {"name": "to", "type": ["null", "Place"]},
            {"name": "tags", "type": {"type": "map", "values": {"type": "array", "items": "Place"}}},
            {"name": "kind", "type": ["null", {"type": "enum", "name": "kind", "symbols": ["A", "B"]}]},
        ],
    }
    records = [
        {
            "id": i,
            "from": {"city": str(i)},
            "to": {"city": "t"} if i % 2 else None,
            "tags": {"k" * k: [{"city": "c"}] * k for k in range(i % 3)},
            "kind": "AB"[i % 2] if i % 5 else None,
        }
        for i in range(1000)
    ]
    avro(tmp_path, schema, records, sync_interval=2000)
    by_columns = pa.concat_tables(read(files._read_avro, tmp_path))
    more = {"name": "mixed", "type": ["long", "string"]}
    (tmp_path / "a.avro").unlink()
    objects = [{**record, "mixed": "x"} for record in records]
    avro(tmp_path, {**schema, "fields": [*schema["fields"], more]}, objects)
    by_objects = pa.concat_tables(read(files._read_avro, tmp_path))
    assert by_objects.drop_columns(["mixed"]).equals(by_columns)
    assert by_columns["from"].to_pylist() == [record["from"] for record in records]


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_avro_codecs(tmp_path, codec):
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "string"}]}
    avro(tmp_path, schema, [{"a": str(i)} for i in range(5000)], codec=codec)
    assert pa.concat_tables(read(files._read_avro, tmp_path))["a"].to_pylist() == [str(i) for i in range(5000)]


@pytest.mark.parametrize("codec", ["snappy", "zstandard"])
def test_avro_codecs_of_arrow(tmp_path, codec):
    from headrace._files.avro import _CODECS

    packed = pa.Codec("zstd" if codec == "zstandard" else codec).compress(b"abc" * 1000, asbytes=True)
    if codec == "snappy":
        import zlib

        packed += zlib.crc32(b"abc" * 1000).to_bytes(4, "big")
        with pytest.raises(OSError, match="checksum differs"):
            _CODECS[codec](packed[:-1] + b"\0")
    assert _CODECS[codec](packed) == b"abc" * 1000


def test_avro_records_become_child_tables(tmp_path):
    line = {"type": "record", "name": "line", "fields": [{"name": "sku", "type": "string"}]}
    schema = {
        "type": "record",
        "name": "r",
        "fields": [{"name": "id", "type": "long"}, {"name": "lines", "type": {"type": "array", "items": line}}],
    }
    avro(tmp_path, schema, [{"id": i, "lines": [{"sku": str(k)} for k in range(i)]} for i in range(4)])
    tables = read_tables(run(files, "read_avro", tmp_path, tmp_path / "work", "*.avro"))
    assert [row["sku"] for row in tables["t__lines"]] == ["0", "0", "1", "0", "1", "2"]
    assert [row["id"] for row in tables["t"]] == [0, 1, 2, 3]


def test_avro_without_records_has_its_columns(tmp_path):
    avro(tmp_path, {"type": "record", "name": "r", "fields": [{"name": "a", "type": "string"}]}, [])
    (table,) = read(files._read_avro, tmp_path)
    assert (table.num_rows, table.schema.names) == (0, ["a"])


def test_avro_of_no_records_type_is_a_column(tmp_path):
    avro(tmp_path, {"type": "array", "items": "int"}, [[1, 2], []])
    (table,) = read(files._read_avro, tmp_path)
    assert table.to_pydict() == {"value": [[1, 2], []]}


# ---- ORC


def test_orc_is_read_stripe_by_stripe_with_its_types(tmp_path):
    table = nested_table(5000)
    orc.write_table(table, tmp_path / "a.orc", stripe_size=20_000)
    found = pa.concat_tables(read(files._read_orc, tmp_path))
    assert found.equals(orc.read_table(tmp_path / "a.orc"))
    found = pa.concat_tables(read(files._read_orc, tmp_path, columns=["id"]))
    assert found.to_pydict() == {"id": list(range(5000))}
    pipeline = run(files, "read_orc", tmp_path, tmp_path / "work", "*.orc")
    assert len(read_tables(pipeline)["t__lines"]) == pc.sum(pc.list_value_length(table["lines"])).as_py()


# ---- bad files


def parquet_bytes():
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": range(10_000), "b": [str(i) for i in range(10_000)]}), sink, row_group_size=1000)
    return sink.getvalue()


def avro_bytes():
    sink = io.BytesIO()
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "string"}]}
    fastavro.writer(sink, schema, [{"a": str(i)} for i in range(10_000)], sync_interval=1000)
    return sink.getvalue()


def orc_bytes():
    sink = io.BytesIO()
    orc.write_table(pa.table({"a": range(10_000)}), sink)
    return sink.getvalue()


def changed(content, at, by=b"\xff" * 64):
    return content[:at] + by + content[at + len(by) :]


BAD = {
    "parquet_empty": ("read_parquet", lambda: b"", "the file is empty: 0 bytes"),
    "parquet_misnamed": (
        "read_parquet",
        lambda: b"a,b\n1,2\n" * 5,
        "no Parquet file: expected PAR1 at byte 0, found b'a,b",
    ),
    "parquet_cut": ("read_parquet", lambda: parquet_bytes()[:-9], "the file is cut: expected PAR1 at byte"),
    "parquet_encrypted": ("read_parquet", lambda: b"PARE" + bytes(50), "the file's footer is encrypted"),
    "parquet_footer": (
        "read_parquet",
        lambda: changed(parquet_bytes(), len(parquet_bytes()) - 300),
        "Parquet|thrift|Thrift",
    ),
    "parquet_page": (
        "read_parquet",
        lambda: changed(parquet_bytes(), 40_000, b"\xff" * 8000),
        "row group [1-9], row [0-9]+:",
    ),
    "orc_empty": ("read_orc", lambda: b"", "the file is empty"),
    "orc_misnamed": ("read_orc", parquet_bytes, "no ORC file: expected ORC at byte 0, found b'PAR'"),
    "orc_cut": ("read_orc", lambda: orc_bytes()[:-40], "ORC|Orc|orc|Invalid|EOF|parse"),
    "avro_empty": ("read_avro", lambda: b"", "the file is empty"),
    "avro_misnamed": ("read_avro", parquet_bytes, "no Avro file: expected b'Obj.*' at byte 0"),
    "avro_cut": ("read_avro", lambda: avro_bytes()[:20_000], "block [0-9]+, byte [0-9]+: .*the file is cut"),
    "avro_sync": (
        "read_avro",
        lambda: changed(avro_bytes(), 20_000),
        "(sync marker at byte|the block says|do not follow|records of)",
    ),
    "avro_schema": (
        "read_avro",
        lambda: avro_bytes().replace(b'"string"', b'"strong"'),
        "the schema has no type `strong`",
    ),
    "avro_header": (
        "read_avro",
        lambda: avro_bytes()[:30],
        "the file is cut: a key of the header at byte 22 has 8 of 11 bytes",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_an_error_with_its_place(tmp_path, kind, logged):
    reader, content, message = BAD[kind]
    (tmp_path / "bad.bin").write_bytes(content())
    with pytest.raises(Exception, match=message) as raised:
        read(getattr(files, "_" + reader), tmp_path)
    assert f"{tmp_path}/bad.bin" in str(raised.value)
    left = read(getattr(files, "_" + reader), tmp_path, on_error="skip_file")
    (told,) = [line for line in logged if f"{tmp_path}/bad.bin" in line]
    assert "file left out" in told and sum(table.num_rows for table in left) < 10_000  # what stood before the error


def test_rows_before_the_error_stay_and_are_told(tmp_path):
    (tmp_path / "a.avro").write_bytes(avro_bytes()[:20_000])
    found = read(files._read_avro, tmp_path, on_error="skip_file")
    assert pa.concat_tables(found)["a"].to_pylist()[:2] == ["0", "1"]


def test_row_groups_before_a_corrupt_one_stay(tmp_path):
    (tmp_path / "a.parquet").write_bytes(changed(parquet_bytes(), 40_000, b"\xff" * 8000))
    found = pa.concat_tables(read(files._read_parquet, tmp_path, on_error="skip_file"))
    assert found.num_rows % 1000 == 0
    assert found["a"].to_pylist() == list(range(found.num_rows))
    assert found.num_rows >= 1000


def test_random_bytes_in_a_file_are_an_error_or_values(tmp_path):
    """Nothing but `ResourceFailed` comes of a broken file."""
    from headrace.exceptions import ResourceFailed

    random.seed(5)
    made = {"_read_parquet": parquet_bytes(), "_read_avro": avro_bytes(), "_read_orc": orc_bytes()}
    for name, content in made.items():
        for _ in range(40):
            broken = bytearray(content)
            for _ in range(random.choice([1, 3, 20])):
                broken[random.randrange(len(broken))] = random.randrange(256)
            (tmp_path / "x").write_bytes(broken[: random.choice([len(broken), random.randrange(len(broken))])])
            try:
                for table in read(getattr(files, name), tmp_path):
                    table.validate(full=False)
            except ResourceFailed as error:
                assert "/x" in str(error)


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_avro_frames_that_are_changed_are_values_or_an_error(tmp_path, codec):
    """Header, schema, counts, sizes and sync markers of fastavro's files, changed: nothing but `ResourceFailed`."""
    from headrace.exceptions import ResourceFailed

    random.seed(9)
    types = ["null", "string", {"type": "map", "values": "long"}]
    fields = [{"name": "a", "type": "long"}, {"name": "b", "type": {"type": "array", "items": types}}]
    records = [{"a": i, "b": ["x" * (i % 9), None, {"k": i}]} for i in range(300)]
    avro(tmp_path, {"type": "record", "name": "r", "fields": fields}, records, codec=codec, sync_interval=1000)
    content = (tmp_path / "a.avro").read_bytes()
    sync = content.rindex(content[-16:], 0, -16)
    outcomes = set()
    for _ in range(120):
        broken = bytearray(content)
        for _ in range(random.choice([1, 2, 4])):
            near = random.choice([0, sync - 8, sync + 8])  # the header, or between two blocks
            at = near + random.randrange(400 if near == 0 else 24)
            broken[at % len(broken)] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])
        (tmp_path / "a.avro").write_bytes(broken)
        try:
            for table in read(files._read_avro, tmp_path):
                table.validate(full=True)
            outcomes.add("values")
        except ResourceFailed as error:
            assert "/a.avro" in str(error)
            outcomes.add("error")
    assert outcomes == {"values", "error"}


def test_a_library_that_is_not_there_is_named_with_its_extra(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "fastavro", None)
    (tmp_path / "a.avro").write_bytes(avro_bytes())
    with pytest.raises(
        PipelineStepFailed, match=r"`read_avro` needs the package `fastavro`.*pip install 'headrace\[avro\]'"
    ):
        run(files, "read_avro", tmp_path, tmp_path / "work", "*.avro")


def test_a_compressed_avro_is_unpacked_first(tmp_path):
    import gzip

    (tmp_path / "a.avro.gz").write_bytes(gzip.compress(avro_bytes()))
    assert sum(table.num_rows for table in read(files._read_avro, tmp_path)) == 10_000
    (tmp_path / "a.avro.gz").unlink()
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress(parquet_bytes()))
    assert sum(table.num_rows for table in read(files._read_parquet, tmp_path, nested="keep")) == 10_000
