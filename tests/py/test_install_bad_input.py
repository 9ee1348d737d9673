"""Bad input of the normalize step under `headrace.install()`: dlt's own exceptions, the package left for a repeat. dlt without
the engine is the oracle.
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import headrace
import pyarrow.parquet as pq
import pytest
from dlt.common.schema.utils import generate_version_hash
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace._normalize.reasons import _of_tables
from oracle import make_pipeline, read_tables, schema_of, trees

GOOD = b"".join(json.dumps([{"a": 5 * line + n} for n in range(5)]).encode() + b"\n" for line in range(2))


@pytest.fixture(autouse=True)
def _uninstalled() -> Iterator[None]:
    """Each test starts and ends without the engine."""
    headrace.uninstall()
    yield
    headrace.uninstall()


def extracted_file(pipeline: dlt.Pipeline, formats: str | None = None) -> Path:
    """The file of one table `t` that was extracted and not normalized."""
    pipeline.extract([{"a": 0}], table_name="t", loader_file_format=formats)  # type: ignore[arg-type]
    (file,) = (Path(pipeline.working_dir) / "normalize" / "extracted").rglob("t.*.typed-jsonl.gz")
    return file


def chain(ex: BaseException) -> list[str]:
    """The classes of an exception and what it was raised from."""
    out = []
    at: BaseException | None = ex
    while at is not None:
        out.append(type(at).__name__)
        at = at.__cause__
    return out


def outcome(step: Callable[[], Any]) -> tuple[list[str], str]:
    """What a step fails with: the classes, and dlt's message. ([], "") when it does not."""
    try:
        step()
    except PipelineStepFailed as ex:
        assert ex.__cause__ is not None
        return chain(ex), str(ex.__cause__)
    return [], ""


# ---------------------------------------------------------------------------------------------------- extracted files


def deep(n: int, before: bytes, behind: bytes) -> bytes:
    """A good line, then one whose record is n levels deep."""
    return gzip.compress(b'[{"a": 1}]\n[' + before * n + b"1" + behind * n + b"]\n")


def corrupt_later() -> bytes:
    """A file of 500 KB with wrong bytes in its middle."""
    rng = random.Random(1)
    data = gzip.compress(b"".join(b'[{"a": "%x"}]\n' % rng.getrandbits(4000) for _ in range(1000)))
    return data[:300_000] + bytes(100) + data[300_100:]


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated gzip": (lambda data: data[: len(data) // 2], "(behind line 0 of the file)"),
    "corrupt gzip": (lambda data: data[:15] + b"\x00\xff" + data[17:], "while decompressing data"),
    "corrupt gzip later": (lambda data: corrupt_later(), "(in line 523 of the file)"),
    "no gzip": (lambda data: b"no gzip", "(in line 1 of the file)"),
    "cut in a line": (lambda data: gzip.compress(GOOD[:-10]), "(in line 2 of the file)"),
    "cut in a list": (lambda data: gzip.compress(GOOD + b"[1, 2\n"), "(in line 3 of the file)"),
    "a line of one number": (lambda data: gzip.compress(GOOD + b"17\n"), "(in line 3 of the file)"),
    "bytes that are no text": (lambda data: gzip.compress(b'[{"a": "\xff"}]\n'), "(in line 1 of the file)"),
    "10,000 objects deep": (lambda data: deep(10_000, b'{"a":', b"}"), "(in line 2 of the file)"),
    "10,000 lists deep": (lambda data: deep(10_000, b"[", b"]"), "(in line 2 of the file)"),
    "a child table name longer than a file's": (
        lambda data: gzip.compress(b'[{"' + b"x" * 300 + b'": [1]}]\n'),
        "File name too long",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_fail_as_with_dlt_and_a_repeat_works(case: str, tmp_path: Path) -> None:
    """The exception class is dlt's, the file and the line are named, nothing is normalized, the package is still there."""
    change, told = BROKEN[case]

    def run(name: str) -> tuple[dlt.Pipeline, list[str], str]:
        pipeline = make_pipeline(tmp_path / name, "p")
        file = extracted_file(pipeline)
        file.write_bytes(change(gzip.compress(GOOD)))
        classes, message = outcome(pipeline.normalize)
        assert file.name.split(".")[1] in message or "too long" in message  # that fails when files are written
        assert len(pipeline.list_extracted_load_packages()) == 1
        assert pipeline.list_normalized_load_packages() == []
        file.write_bytes(gzip.compress(GOOD))
        pipeline.normalize()
        pipeline.load()
        assert [row["a"] for row in read_tables(pipeline)["t"]] == list(range(10))
        return pipeline, classes, message

    _, by_dlt, _ = run("dlt")
    headrace.install()
    pipeline, ours, message = run("ours")
    assert ours == by_dlt
    assert told in message
    load_id = pipeline.last_trace.last_normalize_info.loads_ids[-1]
    assert headrace.status()[load_id]["tables"]["t"]["native"]


ODD: dict[str, bytes] = {
    "a line that is an object": b'{"a": 1, "b": 2}\n',
    "unknown private-use markers": (
        '[{"a": "\uf02e1", "b": "\uf0ffx", "c": "\uf026", "d": "\uf026abc", "e": "\uf02712", "f": "\uf02fzz", "g": ["\uf02eq"]},'
        ' {"a": "\uf0261.5", "b": {"x": "\uf02fy"}, "c": "\uf025"}]\n'
    ).encode(),
    "1,000 objects deep": b"[" + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"]\n",
    "names that meet": b'[{"Some Name": 1, "some_name": 2, "a": {"b": 3}, "a__b": 4, "some-name": [1], "SomeName": [2]}]\n',
}


@pytest.mark.parametrize("case", ODD)
def test_odd_files_give_the_same_tables(case: str, tmp_path: Path) -> None:
    def run(name: str) -> dlt.Pipeline:
        pipeline = make_pipeline(tmp_path / name, "p")
        extracted_file(pipeline).write_bytes(gzip.compress(ODD[case]))
        pipeline.normalize()
        pipeline.load()
        return pipeline

    by_dlt = run("dlt")
    headrace.install()
    ours = run("ours")
    assert schema_of(by_dlt) == schema_of(ours)
    assert trees(by_dlt) == trees(ours)


def test_100_000_columns(tmp_path: Path) -> None:
    """More than the engine has room for: dlt takes the record, and the table from then on."""
    headrace.install()
    pipeline = make_pipeline(tmp_path, "p")
    names = [f"c{n}" for n in range(100_000)]
    record = "{" + ",".join(f'"{name}":1' for name in names) + "}"
    lines = f'[{{"c0": 0}},{record},{{"c99999":2}}]\n[{{"c1":3}}]\n'
    extracted_file(pipeline, "jsonl").write_bytes(gzip.compress(lines.encode(), 1))
    pipeline.normalize()
    load_id = pipeline.last_trace.last_normalize_info.loads_ids[-1]
    table = headrace.status()[load_id]["tables"]["t"]
    assert (table["native"], table["records"], table["by_dlt"], table["rows"]) == (True, 1, 3, 4)
    columns = list(pipeline.default_schema.get_table_columns("t"))
    assert [name for name in columns if name.startswith("c")] == names
    assert _of_tables(pipeline.default_schema, "t") == "table `t` has more than 20000 columns"


# ---------------------------------------------------------------------------------------------------- Parquet's types


def moment(year: int) -> datetime.datetime:
    """The first of January."""
    return datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc)


# hints of column x, values that fit, one that does not, its text in the message and the Arrow type
UNHELD: dict[str, tuple[dict[str, Any], list[Any], Any, str, str]] = {
    "bigint of 8 bits": ({"data_type": "bigint", "precision": 8}, [-128, "127", 5.0], 128, "128", "int8"),
    "text for a bigint of 16 bits": ({"data_type": "bigint", "precision": 16}, [32767], "-32769", "-32769", "int16"),
    "bigint of 32 bits": ({"data_type": "bigint", "precision": 20}, [2**31 - 1], 2**31, "2147483648", "int32"),
    "bigint beyond 63 bits": ({"data_type": "bigint"}, [2**63 - 1, -(2**63)], 2**63, "9223372036854775808", "int64"),
    "inferred bigint": ({}, [1], 2**64 - 1, "18446744073709551615", "int64"),
    "double for a bigint": ({"data_type": "bigint"}, [1e18], 1e19, "10000000000000000000", "int64"),
    "decimal of too many digits": ({}, [Decimal("1.5")], Decimal("1E+30"), "Decimal('1E+30')", "decimal128(38, 9)"),
    "decimal of too many places": (
        {"data_type": "decimal", "precision": 10, "scale": 2},
        [Decimal("99999999.99"), 5],
        1.125,
        "Decimal('1.125')",
        "decimal128(10, 2)",
    ),
    "decimal that is no number": ({}, [Decimal(1)], Decimal("NaN"), "Decimal('NaN')", "decimal128(38, 9)"),
    "wide decimal": (
        {"data_type": "decimal", "precision": 60, "scale": 10},
        [Decimal("9" * 50)],
        Decimal("9" * 51),
        "Decimal('9999",
        "decimal256(60, 10)",
    ),
    "timestamp in nanoseconds": (
        {"data_type": "timestamp", "precision": 9},
        [moment(1678), "2262-04-11T23:47:16.854775Z", 0],
        "2262-04-11T23:47:16.854776Z",
        "854776",
        "timestamp[ns, tz=UTC]",
    ),
    "early timestamp in nanoseconds": (
        {"data_type": "timestamp", "precision": 9},
        ["1677-09-21T00:12:43.145225Z"],
        moment(1),
        "(1, 1, 1, 0, 0",  # of a datetime, or of pendulum's before dlt 1.31
        "timestamp[ns, tz=UTC]",
    ),
    "bytes of a fixed number": (
        {"data_type": "binary", "precision": 3},
        [b"abc", b"\0\0\0"],
        b"abcd",
        "b'abcd'",
        "fixed_size_binary[3]",
    ),
}


@pytest.mark.every_dlt
@pytest.mark.parametrize("place", ["root", "child"])
@pytest.mark.parametrize("case", UNHELD)
def test_values_that_parquet_does_not_hold_are_named(case: str, place: str, tmp_path: Path) -> None:
    """dlt's exception class; table, column, value, record, file and advice. What fits is loaded as by dlt."""
    hints, good, bad, shown, arrow_type = UNHELD[case]
    table = "t" if place == "root" else "t__l"

    def record(value: Any) -> dict[str, Any]:
        return {"x": value} if place == "root" else {"l": [{}, {"x": value}]}

    def run(name: str, values: list[Any]) -> tuple[dlt.Pipeline, str, str]:
        pipeline = make_pipeline(tmp_path / name, "p")
        items = dlt.resource([record(value) for value in values], name="t")
        if hints and place == "root":
            items.apply_hints(columns={"x": hints})  # type: ignore[dict-item]
        elif hints:
            items.apply_hints(nested_hints={"l": dlt.mark.make_nested_hints(columns={"x": hints})})  # type: ignore[dict-item]
        pipeline.extract(items, loader_file_format="parquet")
        try:
            pipeline.normalize()
        except PipelineStepFailed as ex:
            cause = ex.__cause__
            assert cause is not None
            return pipeline, type(cause.__cause__ or cause.__context__).__name__, str(ex)
        return pipeline, "", ""

    def column_x(pipeline: dlt.Pipeline) -> Any:
        (file,) = (Path(pipeline.working_dir) / "load" / "normalized").rglob(f"{table}.*.parquet")
        return pq.read_table(file)["x"].combine_chunks()

    by_dlt, none, _ = run("dlt", good)
    assert none == ""
    _, failed_by_dlt, _ = run("dlt bad", [*good, bad, *good])
    assert failed_by_dlt != ""
    headrace.install()
    ours, none, _ = run("ours", good)
    assert none == ""
    assert schema_of(by_dlt) == schema_of(ours)
    assert column_x(ours).equals(column_x(by_dlt))
    load_id = ours.last_trace.last_normalize_info.loads_ids[-1]
    assert headrace.status()[load_id]["tables"]["t"]["native"]
    pipeline, failed, message = run("ours bad", [*good, bad, *good])
    assert failed == failed_by_dlt
    assert f"`{table}.x` = " in message
    assert shown in message
    assert f"does not fit the Parquet column's type {arrow_type}" in message
    (file,) = (Path(pipeline.working_dir) / "normalize" / "extracted").rglob("t.*.typed-jsonl.gz")
    assert f"(record {len(good)} of line 1 of {file.name})" in message
    assert "`columns` hints" in message
    assert len(pipeline.list_extracted_load_packages()) == 1


# ---------------------------------------------------------------------------------------------------- the schema's file


def column(name: str, /, **props: Any) -> Callable[[Any], None]:
    """Changes a column of table t."""
    return lambda schema: schema["tables"]["t"]["columns"].setdefault(name, {"name": name}).update(props)


def table(name: str, /, **props: Any) -> Callable[[Any], None]:
    """Changes a table."""
    return lambda schema: schema["tables"][name].update(props)


def setting(**props: Any) -> Callable[[Any], None]:
    """Changes the settings."""
    return lambda schema: schema["settings"].update(props)


def json_config(**props: Any) -> Callable[[Any], None]:
    """Changes the normalizer's configuration."""
    return lambda schema: schema["normalizers"]["json"].setdefault("config", {}).update(props)


NONSENSE: dict[str, Callable[[Any], None]] = {
    "a type that is none": column("a", data_type="nonsense"),
    "another type": column("a", data_type="json"),
    "a type for ids": column("_dlt_id", data_type="bigint"),
    "a type for load ids": column("_dlt_load_id", data_type="timestamp"),
    "a type for list positions": lambda schema: schema["tables"]["t__l"]["columns"]["_dlt_list_idx"].update(
        data_type="text"
    ),
    "digits below none": column("d", data_type="decimal", precision=-1, scale=5),
    "digits beyond all": column("d", data_type="decimal", precision=1_000_000, scale=2_000_000),
    "a precision of text": column("d", data_type="decimal", precision="many"),
    "columns that are none": table("t", columns={}),
    "no parent": table("t__l", parent="nowhere"),
    "its own parent": table("t__l", parent="t__l"),
    "a circle of parents": lambda schema: (
        table("t", parent="t__l__m")(schema),
        table("t__l", parent="t")(schema),
        None,
    )[-1],
    "a child that is a root": lambda schema: schema["tables"]["t__l"].pop("parent"),
    "another name": table("t", name="other"),
    "nesting below none": table("t", **{"x-normalizer": {"max_nesting": -5}}),
    "nesting of text": table("t", **{"x-normalizer": {"max_nesting": "deep"}}),
    "a merge strategy that is none": table("t", **{"write_disposition": "merge", "x-merge-strategy": "nonsense"}),
    "a disposition that is none": table("t", write_disposition="nonsense"),
    "a contract that is none": table("t", schema_contract={"columns": "nonsense"}),
    "a filter that is no regex": table("t", filters={"excludes": ["re:("]}),
    "a detection that is none": setting(detections=["nonsense"]),
    "a hint that is no regex": setting(default_hints={"not_null": ["re:("]}),
    "a preferred type that is none": setting(preferred_types={"re:^a": "nonsense"}),
    "ids to ids": json_config(propagation={"root": {"_dlt_id": "_dlt_id"}}),
    "ids to data": json_config(propagation={"root": {"_dlt_id": "y", "y": "z"}}),
    "propagation of text": json_config(propagation="nonsense"),
    "a naming convention that is none": lambda schema: schema["normalizers"].update(names="no_such_module"),
    "no settings": lambda schema: schema.pop("settings"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_a_schema_edited_by_hand_does_what_it_does_with_dlt(case: str, tmp_path: Path) -> None:
    """The same exception class, or the same tables."""
    items = [{"a": 1, "d": 1.5, "l": [{"x": 1, "m": [1]}, {"y": "z"}]}, {"a": "x", "new": {"b": None}, "l": [{"y": 2}]}]

    def run(name: str) -> Any:
        pipeline = make_pipeline(tmp_path / name, "p")
        pipeline.run([{"a": 0, "d": 0.5, "l": [{"x": 0, "y": "y", "m": [0]}]}], table_name="t")
        for file in (Path(pipeline.working_dir) / "schemas").glob("p.schema.json"):
            stored = json.loads(file.read_text())
            NONSENSE[case](stored)
            if "settings" in stored:
                generate_version_hash(stored)
                stored["version_hash"] = generate_version_hash(stored)
            file.write_text(json.dumps(stored))
        try:
            again = make_pipeline(tmp_path / name, "p")  # reads the file
            again.extract(items, table_name="t", loader_file_format="jsonl")
            again.normalize()
        except Exception as ex:
            return chain(ex)
        schema = {
            table: {
                **{key: value for key, value in of.items() if key != "columns"},
                "columns": list(of["columns"].items()),
            }
            for table, of in again.default_schema.to_dict()["tables"].items()
        }
        return schema, again.last_trace.last_normalize_info.row_counts

    by_dlt = run("dlt")
    headrace.install()
    assert run("ours") == by_dlt


# ---------------------------------------------------------------------------------------------------- disk and processes

SCRIPT = """
import os, resource, signal, sys
import dlt, headrace
from dlt.normalize.items_normalizers import JsonLItemsNormalizer

folder, install, bad, file_format = sys.argv[1:5]
if install == "headrace":
    headrace.install()
report = JsonLItemsNormalizer._report_progress

def kill_once(self, table_name, n_items):
    report(self, table_name, n_items)
    if table_name.startswith("t1") and bad == "kill":
        try:
            os.unlink(folder + "/alive")
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

JsonLItemsNormalizer._report_progress = kill_once

def items(table):
    for page in range(10):
        yield [{{"id": page * 500 + n, "text": f"{{table}} {{n * 7919 % 10007}}" * 3, "l": [n, n + 1]}} for n in range(500)]

def normalize(pipeline):
    try:
        pipeline.normalize()
        return True
    except Exception as ex:
        while ex is not None:
            print(type(ex).__name__)
            ex = ex.__cause__
        return False

if __name__ == "__main__":
    pipeline = dlt.pipeline(
        "p", pipelines_dir=folder, destination=dlt.destinations.duckdb(folder + "/p.duckdb"), dataset_name="data"
    )
    if len(sys.argv) == 5:
        tables = [dlt.resource(items(name), name=name) for name in ("t0", "t1")]
        pipeline.extract(tables, loader_file_format=file_format)
        if bad == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        normalized = normalize(pipeline)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert not normalized
        print(len(pipeline.list_extracted_load_packages()), pipeline.list_normalized_load_packages())
    assert normalize(pipeline)
    pipeline.load()
    print(sorted(pipeline.last_trace.last_normalize_info.row_counts.items()))
""".replace("{{", "{").replace("}}", "}")
COUNTS = "[('_dlt_pipeline_state', 1), ('t0', 5000), ('t0__l', 10000), ('t1', 5000), ('t1__l', 10000)]"


def run_script(folder: Path, *args: str, environment: dict[str, str]) -> tuple[int, str]:
    """Its exit status and what it printed."""
    folder.mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL", **environment}
    done = subprocess.run(
        [sys.executable, str(script), str(folder), *args],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout


FORKED = {"NORMALIZE__WORKERS": "2", "NORMALIZE__START_METHOD": "fork"}
SPAWNED = {"NORMALIZE__WORKERS": "2", "NORMALIZE__START_METHOD": "spawn"}


@pytest.mark.parametrize("environment", [FORKED, SPAWNED], ids=["fork", "spawn"])
def test_a_killed_worker_process_fails_as_with_dlt_and_a_repeat_works(
    environment: dict[str, str], tmp_path: Path
) -> None:
    told = []
    for side in ("dlt", "headrace"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "alive").touch()
        status, out = run_script(tmp_path / side, side, "kill", "jsonl", environment=environment)
        assert status == 0
        assert out.endswith(f"1 []\n{COUNTS}\n")
        told.append(out)
    assert "BrokenProcessPool" in told[0]
    assert told[0] == told[1]


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_a_killed_process_leaves_the_package_for_the_next(file_format: str, tmp_path: Path) -> None:
    (tmp_path / "alive").touch()
    status, out = run_script(tmp_path, "headrace", "kill", file_format, environment={})
    assert (status, out) == (-signal.SIGKILL, "")
    status, out = run_script(tmp_path, "headrace", "kill", file_format, "again", environment={})
    assert (status, out) == (0, f"{COUNTS}\n")


@pytest.mark.parametrize("environment", [{}, FORKED], ids=["in process", "fork"])
@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "insert_values"])
def test_a_full_disk_fails_as_with_dlt_and_a_repeat_works(
    file_format: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """Files may not grow beyond 20 KB, then they may."""
    told = []
    for side in ("dlt", "headrace"):
        environment = {**environment, "DATA_WRITER__BUFFER_MAX_ITEMS": "1000"}
        told.append(run_script(tmp_path / side, side, "full", file_format, environment=environment)[1])
    assert told[0].startswith("PipelineStepFailed\nNormalizeJobFailed\n")
    assert told[0].endswith(f"1 []\n{COUNTS}\n")
    assert told[1] == told[0]
