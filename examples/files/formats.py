"""Files of every format into tables: makes a small file of each in a folder, and loads each with its reader.

python examples/files/formats.py [FOLDER]
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
from headrace.sources.filesystem import (
    filesystem,
    read_any,
    read_avro,
    read_csv,
    read_excel,
    read_json,
    read_jsonl,
    read_orc,
    read_parquet,
    read_text,
    read_wav,
    read_xml,
)

ORDERS = [
    {"id": 1, "customer": "Ada", "lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]},
    {"id": 2, "customer": "Blaise", "lines": [{"sku": "c", "n": 3}]},
]


def make_files(folder: Path) -> None:
    """The same orders in each format that can hold them; sounds and text for the others."""
    import fastavro
    import openpyxl
    import soundfile

    table = pa.Table.from_pylist(ORDERS)
    pq.write_table(table, folder / "orders.parquet")
    orc.write_table(table, folder / "orders.orc")
    line = {
        "type": "record",
        "name": "line",
        "fields": [{"name": "sku", "type": "string"}, {"name": "n", "type": "long"}],
    }
    fields = [
        {"name": "id", "type": "long"},
        {"name": "customer", "type": "string"},
        {"name": "lines", "type": {"type": "array", "items": line}},
    ]
    with (folder / "orders.avro").open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "order", "fields": fields}, ORDERS, codec="deflate")
    (folder / "orders.jsonl").write_text("".join(json.dumps(order) + "\n" for order in ORDERS))
    (folder / "orders.json").write_text(json.dumps(ORDERS, indent=2))
    lines = "".join(
        f'<order id="{order["id"]}"><customer>{order["customer"]}</customer>'
        + "".join(f"<line><sku>{one['sku']}</sku><n>{one['n']}</n></line>" for one in order["lines"])
        + "</order>"
        for order in ORDERS
    )
    (folder / "orders.xml").write_text(f"<orders>{lines}</orders>")
    book = openpyxl.Workbook()
    for row in (["Orders of the year"], [], ["id", "customer"], [1, "Ada"], [2, "Blaise"]):
        book.active.append(row)
    book.save(folder / "orders.xlsx")
    (folder / "orders.csv").write_text("id,customer\n1,Ada\n2,Blaise\n")
    (folder / "orders.txt").write_text("1   Ada\n2   Blaise\n")
    soundfile.write(folder / "tone.wav", [0.0, 0.5, -0.5], 8000)
    make_packed(folder, (folder / "orders.jsonl").read_bytes())


def make_packed(folder: Path, lines: bytes) -> None:
    """The orders as JSON lines in each compression and archive: known by content, so their names do not matter."""
    for kind, pack in (("gzip", gzip.compress), ("bzip2", bz2.compress), ("xz", lzma.compress)):
        (folder / f"packed-{kind}").write_bytes(pack(lines))
    for kind in ("zstd", "lz4"):
        with pa.CompressedOutputStream(str(folder / f"packed-{kind}"), kind) as packed:
            packed.write(lines)
    with zipfile.ZipFile(folder / "packed-zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("2024/orders.jsonl", lines)
    with tarfile.open(folder / "packed-tar", "w:gz") as tar:
        member = tarfile.TarInfo("2024/orders.jsonl")
        member.size = len(lines)
        tar.addfile(member, io.BytesIO(lines))


def readers() -> dict[str, Any]:
    """Tables by their names: which files, and by which reader."""
    return {
        "from_parquet": ("*.parquet", read_parquet(columns=["id", "customer", "lines"])),
        "from_orc": ("*.orc", read_orc),
        "from_avro": ("*.avro", read_avro),
        "from_csv": ("*.csv", read_csv),
        "from_jsonl": ("*.jsonl", read_jsonl),
        "from_json": ("*.json", read_json),
        "from_packed": ("packed-*", read_jsonl),
        "from_xml": ("*.xml", read_xml(record="orders/order", lists=["line"])),
        "from_excel": ("*.xlsx", read_excel),
        "from_text": ("*.txt", read_text(fields=[("id", 4), ("customer", 20)])),
        "sounds": ("*.wav", read_wav),
        "from_any": ("orders.[!t]*", read_any(options={"xml": {"record": "order", "lists": ["line"]}})),
    }


def load(folder: Path, pipeline: dlt.Pipeline) -> None:
    """Loads the folder's files, each into the table of its format."""
    resources = [
        (filesystem(f"file://{folder}", file_glob=glob).with_name(f"files_{name}") | reader).with_name(name)
        for name, (glob, reader) in readers().items()
    ]
    print(pipeline.run(resources, loader_file_format="parquet"))


def main() -> None:
    """Makes the files, loads them into DuckDB and prints how many rows came."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    make_files(files)
    pipeline = dlt.pipeline(
        "formats",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "formats.duckdb")),
        dataset_name="data",
    )
    load(files, pipeline)
    with pipeline.sql_client() as client:
        for name in sorted(pipeline.default_schema.data_table_names()):
            print(name, *client.execute_sql(f"select count(*) from {client.make_qualified_table_name(name)}")[0])


if __name__ == "__main__":
    main()
