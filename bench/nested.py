"""`./dev bench nested`: nested Parquet into dlt's relational tables: `headrace.nested` beside the best way dlt has (the same
batches as Python dicts, `to_pylist`, at its best settings), in one run, into DuckDB, tables compared.

Each side runs in a process of its own, step by step. The file is made beforehand: records like GitHub issues, as Arrow types.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import BEST_SETTINGS, MACHINE, commit, compare, measure, print_steps, step_ratios

PAGE = 1000  # records that are made together
TIMES = ("created_at", "updated_at", "closed_at")
BATCH = 10_000  # records that the resource yields together


def make_file(path: Path, n_records: int) -> None:
    """Writes the records as nested Parquet: times as timestamps, everything else as it is."""
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq
    import records

    def as_time(text: str | None) -> datetime.datetime | None:
        return None if text is None else datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))

    writer = schema = None
    n_pages = -(-n_records // PAGE)
    for number in range(n_pages):
        rows = json.loads(records.pages(1, PAGE, seed=number)[0])["items"]
        for k, row in enumerate(rows):
            row["id"] = number * PAGE + k
            del row["milestone"]  # always null
            row.update({name: as_time(row[name]) for name in TIMES})
            for assignee in row["assignees"]:
                assignee["since"] = as_time(assignee["since"])
        table = pa.Table.from_pylist(rows, schema)
        if writer is None:
            schema = pa.schema([_utc(field) for field in table.schema])
            writer = pq.ParquetWriter(path, schema)
        writer.write_table(table.cast(schema))
    writer.close()


def _utc(field: Any) -> Any:
    """The field with its times in microseconds UTC."""
    import pyarrow as pa

    kind = field.type
    if pa.types.is_timestamp(kind):
        return field.with_type(pa.timestamp("us", "UTC"))
    if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
        return field.with_type(
            pa.list_(pa.struct([_utc(kind.value_type.field(i)) for i in range(kind.value_type.num_fields)]))
        )
    return field


def one_side(side: str, folder: str, load: bool) -> dict[str, Any]:
    """Runs one side in this process."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ.update(BEST_SETTINGS)
    import dlt
    import pyarrow.parquet as pq

    @dlt.resource(name="issues")
    def issues() -> Iterator[Any]:
        with pq.ParquetFile(f"{folder}/issues.parquet") as file:
            for batch in file.iter_batches(BATCH):
                yield batch if side == "headrace" else batch.to_pylist()

    resource = issues()
    if side == "headrace":
        import headrace

        headrace.nested(resource)
    pipeline = dlt.pipeline(
        side,
        pipelines_dir=folder,
        destination=dlt.destinations.duckdb(f"{folder}/{side}.duckdb"),
        dataset_name="data",
    )
    steps: dict[str, Any] = {
        "extract": lambda: pipeline.extract(resource, loader_file_format="parquet"),
        "normalize": lambda: pipeline.normalize(),
        "load": lambda: pipeline.load(),
    }
    return measure(steps if load else {name: steps[name] for name in ("extract", "normalize")})


def main() -> None:
    """Makes the file, runs both sides and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--no-load", action="store_true", help="leave out the load step (tables are then not compared)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one_side(options.side, options.folder, not options.no_load)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "issues.parquet"
        make_file(file, options.records)
        size_mb = round(file.stat().st_size / 1e6)
        for side in ("headrace", "best"):
            print(f"running {side} ...", file=sys.stderr)
            args = [*sys.argv[1:], f"--side={side}", f"--folder={folder}"]
            done = subprocess.run([sys.executable, __file__, *args], capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(done.stderr[-4000:])
            results[side] = json.loads(done.stdout.splitlines()[-1])
        rows = {} if options.no_load else compare(f"{folder}/best.duckdb", f"{folder}/headrace.duckdb")
    ratios = step_ratios(results, ("extract", "normalize"))
    if options.json:
        measured = {"machine": MACHINE, "commit": commit(), "records": options.records, "rows": rows}
        print(json.dumps({**measured, "results": results, "ratios": ratios}))
        return
    print(f"{options.records} records, {size_mb} MB of nested Parquet, commit {commit()}")
    print_steps(rows, results, ratios)


if __name__ == "__main__":
    main()
