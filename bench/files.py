"""`./dev bench files CASE`: flat files through dlt's `filesystem` and readers at its best settings, and through headrace's, in one
run; load files are Parquet, and the tables are compared row by row.

parquet: nested records as Parquet.  xlsx: 20 columns; dlt's side reads with openpyxl.  xml: nested orders; dlt's side reads with
xml.etree.
jsonl: one file of nested records.  csv: one file of 12 mixed columns; beside it, pyarrow's and DuckDB's own reader and Parquet
writer, without ids.  small: many small JSONL files.
s3: bytes of an object store, see s3.py; `--records` are its 1000 bytes.  tracked: files that are listed and remembered, see tracked.py.
big: one file of 10 GB, see big.py.
Each side runs in a process of its own, step by step (extract, normalize).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from measure import BEST_SETTINGS, MACHINE, commit, measure, print_steps, step_ratios


def read_with_openpyxl(items: Any) -> Any:
    """What dlt's users write: the rows of the first sheet as dicts, 10,000 at a time."""
    import itertools

    import openpyxl

    for item in items:
        with item.open() as file:
            rows = openpyxl.load_workbook(file, read_only=True, data_only=True).active.iter_rows(values_only=True)
            names = next(rows)
            while batch := [dict(zip(names, row, strict=True)) for row in itertools.islice(rows, 10_000)]:
                yield batch


def read_with_etree(items: Any) -> Any:
    """What dlt's users write for XML: elements as they end become dicts, 10,000 at a time."""
    import xml.etree.ElementTree as ET

    def value(element: Any) -> Any:
        members: dict[str, Any] = dict(element.attrib)
        for child in element:
            one = value(child)
            if child.tag not in members:
                members[child.tag] = one
            elif isinstance(members[child.tag], list):
                members[child.tag].append(one)
            else:
                members[child.tag] = [members[child.tag], one]
        text = (element.text or "").strip()
        if members and text:
            members["text"] = text
        return members or text or None

    for item in items:
        with item.open() as file:
            batch: list[Any] = []
            for _, element in ET.iterparse(file):
                if element.tag == "order":
                    batch.append(value(element))
                    element.clear()
                if len(batch) == 10_000:
                    yield batch
                    batch = []
            yield batch


class Case(NamedTuple):
    """A benchmark.

    Attributes:
        make: Writes the files into a folder, of this many records.
        glob: Which of them.
        reader: Name of the reader in both modules.
        records: By default.
        key: Column of the root table that tells rows apart.
        theirs: A reader for dlt's side, where dlt has none.
        peers: Who else reads the file and writes Parquet.
        options: Of headrace's reader.
    """

    make: Callable[[Path, int], None]
    glob: str
    reader: str
    records: int
    key: str = "id"
    theirs: Callable[[Any], Any] | None = None
    peers: tuple[str, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012


def make_parquet(folder: Path, n_records: int) -> None:
    """The records of `./dev bench nested`."""
    import nested

    nested.make_file(folder / "issues.parquet", n_records)


def make_xlsx(folder: Path, n_records: int) -> None:
    """A sheet of 20 columns: whole numbers, doubles, texts and booleans by turns."""
    import openpyxl

    rng = random.Random(1)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("data")
    sheet.append([f"c{i}" for i in range(20)])
    for number in range(n_records):
        values = (rng.randrange(10**6), rng.randrange(10**6) + 0.5, f"name {rng.randrange(1000)}", rng.random() < 0.5)
        sheet.append([number, *(values[i % 4] for i in range(1, 20))])
    book.save(folder / "data.xlsx")


def make_jsonl(folder: Path, n_records: int) -> None:
    """One file of the benchmarks' nested records, 1.3 KB each."""
    import records

    rng = random.Random(1)
    distinct = [json.dumps(records.record(rng, 0)).encode() for _ in range(min(n_records, 20_000))]
    with (folder / "issues.jsonl").open("wb") as file:
        for number in range(n_records):
            file.write(distinct[number % len(distinct)].replace(b'{"id": 0,', b'{"id": %d,' % number, 1) + b"\n")


def make_small(folder: Path, n_records: int) -> None:
    """Files of 20 such records, in folders of 1000."""
    import records

    rng = random.Random(1)
    distinct = [json.dumps(records.record(rng, 0)).encode() for _ in range(2_000)]
    for n_file in range(n_records // 20):
        path = folder / f"{n_file // 1000:03}" / f"{n_file:06}.jsonl"
        path.parent.mkdir(exist_ok=True)
        numbers = range(n_file * 20, n_file * 20 + 20)
        lines = (distinct[n % 2000].replace(b'{"id": 0,', b'{"id": %d,' % n, 1) + b"\n" for n in numbers)
        path.write_bytes(b"".join(lines))


def make_csv(folder: Path, n_records: int) -> None:
    """One file of 12 columns: numbers, texts, some in quotes, times, nulls."""
    rng = random.Random(1)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda"]
    rows = []
    for _ in range(min(n_records, 50_000)):
        a, b, c = (rng.choice(words) for _ in range(3))
        note = "" if rng.random() < 0.3 else f'"{a}, with a ""comma"""'
        score = "" if rng.random() < 0.1 else round(rng.random() * 100, 1)
        at = (
            f"2024-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02} {rng.randrange(24):02}:{rng.randrange(60):02}:17"
        )
        values = [rng.randrange(10**9), rng.randrange(10**6) / 100, rng.randrange(10**6) / 10**6, f"{a} {b}", c]
        values += [f"{b}{rng.randrange(10**6)}@example.com", at, rng.randrange(100), rng.random() < 0.5, score, note]
        rows.append(",".join(map(str, values)))
    with (folder / "orders.csv").open("w") as file:
        file.write("id,user_id,amount,ratio,name,city,email,created_at,quantity,active,score,note\n")
        for number in range(n_records):
            file.write(f"{number},{rows[number % len(rows)]}\n")


def make_xml(folder: Path, n_records: int) -> None:
    """One file of orders of three lines each, 0.5 KB."""
    rng = random.Random(1)
    with (folder / "orders.xml").open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n<orders>\n')
        for number in range(n_records):
            lines = "".join(
                f'\n   <line no="{n}"><sku>SKU-{rng.randrange(10**6)}</sku><price currency="EUR">{rng.random():.2f}</price></line>'
                for n in range(3)
            )
            customer = f"<customer><name>Name {number} &amp; Sons</name><city>Köln</city></customer>"
            note = f"<note>a text that is a bit longer, number {rng.randrange(10**9)}</note>"
            file.write(
                f' <order id="{number}" status="open">\n  {customer}\n  {note}\n  <lines>{lines}\n  </lines>\n </order>\n'
            )
        file.write("</orders>\n")


CASES = {
    "parquet": Case(make_parquet, "*.parquet", "read_parquet", 100_000),
    "xlsx": Case(make_xlsx, "*.xlsx", "read_excel", 100_000, "c0", read_with_openpyxl),
    "xml": Case(make_xml, "*.xml", "read_xml", 100_000, "id", read_with_etree, (), {"record": "orders/order"}),
    "csv": Case(make_csv, "*.csv", "read_csv", 2_000_000, peers=("pyarrow", "duckdb")),
    "jsonl": Case(make_jsonl, "*.jsonl", "read_jsonl", 100_000),
    "small": Case(make_small, "**/*.jsonl", "read_jsonl", 1_000_000),
}


def one_side(side: str, case: Case, folder: str) -> dict[str, Any]:
    """Runs one side in this process."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ.update(BEST_SETTINGS)
    import dlt

    if side == "headrace":
        import headrace.sources.filesystem as module
    else:
        import dlt.sources.filesystem as module  # type: ignore[no-redef]
    pipeline = dlt.pipeline(
        side, pipelines_dir=folder, destination=dlt.destinations.duckdb(f"{folder}/{side}.duckdb"), dataset_name="data"
    )
    listed = module.filesystem(f"{folder}/files", file_glob=case.glob)
    if case.theirs is not None and side != "headrace":
        made = dlt.transformer(name="theirs")(case.theirs)
    else:
        made = getattr(module, case.reader)
        made = made(**case.options) if case.options else made()
    reader = listed | made.with_name("rows")
    steps: dict[str, Any] = {
        "extract": lambda: pipeline.extract(reader, loader_file_format="parquet"),
        "normalize": lambda: pipeline.normalize(),
    }
    return measure(steps)


def one_peer(peer: str, case: Case, folder: str) -> dict[str, Any]:
    """Runs a peer in this process: its reader and its Parquet writer, with its defaults."""
    (path,) = Path(folder, "files").glob(case.glob)
    out = f"{folder}/{peer}.parquet"
    if peer == "pyarrow":
        import pyarrow.csv
        import pyarrow.parquet

        return measure({"csv->parquet": lambda: pyarrow.parquet.write_table(pyarrow.csv.read_csv(path), out)})
    import duckdb

    query = f"copy (from read_csv('{path}')) to '{out}' (format parquet)"
    return measure({"csv->parquet": lambda: duckdb.execute(query)})


def compare_files(folder: str, key: str) -> dict[str, int]:
    """Rows a table; raises when the two sides' Parquet files differ, but for ids and the order of columns."""
    import duckdb

    connection = duckdb.connect()
    tables: dict[str, dict[str, list[str]]] = {}
    for side in ("best", "headrace"):
        for path in Path(folder, side, "load", "normalized").rglob("*.parquet"):
            tables.setdefault(path.name.split(".")[0], {}).setdefault(side, []).append(str(path))
    rows: dict[str, int] = {}
    for name, sides in sorted(tables.items()):
        if name.startswith("_dlt"):
            continue
        assert len(sides) == 2, (name, list(sides))
        for side, paths in sides.items():
            connection.execute(f'create view "{side}_{name}" as from read_parquet({paths!r}, union_by_name=true)')
        columns = [
            {row[0]: row[1] for row in connection.execute(f'describe "{side}_{name}"').fetchall()} for side in sides
        ]
        assert columns[0] == columns[1], (name, columns)
        plain = ", ".join(
            f't."{one}"' for one in columns[0] if one not in ("_dlt_id", "_dlt_parent_id", "_dlt_load_id")
        )
        by_root = f'select r."{key}" as root, {plain} from "{{0}}_{name}" t join "{{0}}_rows" r on t._dlt_parent_id = r._dlt_id'
        query = f'select {plain} from "{{0}}_{name}" t' if name == "rows" else by_root
        counts = [connection.execute(f"select count(*) from ({query.format(side)})").fetchone()[0] for side in sides]  # type: ignore[index]
        assert counts[0] == counts[1], (name, counts)
        (differing,) = connection.execute(
            f"select count(*) from (({query.format('best')}) except all ({query.format('headrace')}))"
        ).fetchone()  # type: ignore[misc]
        assert differing == 0, (name, differing)
        rows[name] = counts[0]
    return rows


def main() -> None:
    """Runs both sides and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=[*CASES, "s3", "tracked", "big"])
    parser.add_argument("kind", nargs="?", choices=["jsonl", "csv.gz"], default="jsonl", help="of `big`")
    parser.add_argument("--records", type=int, default=0)
    parser.add_argument("--gb", type=float, default=10, help="of `big`: bytes of the file")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=["headrace", "best"], help="run one side, compare nothing")
    options = parser.parse_args()
    if options.case == "s3":
        import s3

        s3.run((options.records or 500_000) * 1000, 5, options.json)
        return
    if options.case == "tracked":
        import tracked

        tracked.run(options.records or 1_000_000, options.json)
        return
    if options.case == "big":
        import big

        big.run(options.kind, options.gb, options.json)
        return
    case = CASES[options.case]
    if options.side:
        run = one_peer if options.side in case.peers else one_side
        print(json.dumps(run(options.side, case, options.folder)))
        return
    n_records = options.records or case.records
    only = options.only
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "files")
        files.mkdir()
        case.make(files, n_records)
        n_bytes = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
        for side in ("headrace", "best", *case.peers):
            if only not in (None, side) and side not in case.peers:
                continue
            print(f"running {side} ...", file=sys.stderr)
            args = [options.case, f"--side={side}", f"--folder={folder}"]
            done = subprocess.run([sys.executable, __file__, *args], capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(done.stderr[-4000:])
            results[side] = json.loads(done.stdout.splitlines()[-1])
        rows = {} if only else compare_files(folder, case.key)
    ratios = {} if only else step_ratios(results, ("extract", "normalize"))
    if options.json:
        told = {"machine": MACHINE, "commit": commit(), "case": options.case, "records": n_records, "bytes": n_bytes}
        print(json.dumps({**told, "rows": rows, "results": results, "ratios": ratios}))
        return
    print(f"{options.case}: {n_records} records, {n_bytes / 1e6:.0f} MB, commit {commit()}")
    print_steps(rows, results, ratios)


if __name__ == "__main__":
    main()
