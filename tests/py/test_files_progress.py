"""Progress of the readers that give Arrow tables: bytes, files and rows, and the time that is left, in dlt's display."""

import io
import re
import zipfile

import fastavro
import headrace.sources.filesystem as files
import openpyxl
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
import soundfile
from dlt.common.runtime.collector import Collector
from headrace._files import progress
from oracle import make_pipeline

N_ROWS = 3000
TABLE = pa.table({"id": list(range(N_ROWS)), "text": [f"text {number}" * 20 for number in range(N_ROWS)]})


def avro(path):
    fields = [{"name": "id", "type": "long"}, {"name": "text", "type": "string"}]
    with path.open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "r", "fields": fields}, TABLE.to_pylist(), sync_interval=1000)


def workbook(path):
    book = openpyxl.Workbook()
    for name in ("a", "b", "c"):
        sheet = book.create_sheet(name)
        for row in [("id", "text"), *((row["id"], row["text"]) for row in TABLE.to_pylist()[: N_ROWS // 3])]:
            sheet.append(row)
    book.remove(book["Sheet"])
    book.save(path)


# What writes a file, its reader, how often its reader must at least tell, and its rows.
FORMATS = {
    "parquet": (lambda path: pq.write_table(TABLE, path, row_group_size=500), files.read_parquet, 6, N_ROWS),
    "orc": (lambda path: orc.write_table(TABLE, path, stripe_size=1 << 14, batch_size=256), files.read_orc, 2, N_ROWS),
    "avro": (avro, files.read_avro, 10, N_ROWS),
    "xlsx": (workbook, lambda: files.read_excel(sheets="*"), 3, N_ROWS),
    "wav": (lambda path: soundfile.write(path, [0.1] * 200_000, 8000), files.read_wav, 3, 1),
    "txt": (lambda path: path.write_text("a line of text\n" * 300_000), files.read_text, 3, 300_000),
    "any": (lambda path: pq.write_table(TABLE, path, row_group_size=500), files.read_any, 6, N_ROWS),
}


class Shown(Collector):
    def __init__(self):
        self.told = []

    def update(self, name, inc=1, total=None, inc_total=None, message=None, label=None):
        self.told.append((name, inc, total, message))

    def _start(self, step):
        pass

    def _stop(self):
        pass


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_EVERY_S", 0)
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", "100000")
    folder = tmp_path / "files"
    folder.mkdir()

    def load(reader, **options):
        pipeline = make_pipeline(tmp_path, "progress")
        pipeline.collector = shown = Shown()
        pipeline.extract(
            (files.filesystem(str(folder), **options) | reader).with_name("r"), loader_file_format="parquet"
        )
        told = [one for one in shown.told if one[0] in ("r bytes", "r files", "r rows")]
        sums = {what: sum(one[1] for one in told if one[0] == f"r {what}") for what in ("bytes", "files", "rows")}
        return told, sums

    load.folder = folder
    return load


@pytest.mark.parametrize("kind", FORMATS)
def test_a_reader_tells_bytes_and_the_time_left(load, kind):
    write, reader, n_told, n_rows = FORMATS[kind]
    for name in ("a", "b"):
        write(load.folder / f"{name}.{kind}")
    told, sums = load(reader())
    n_bytes = sum(path.stat().st_size for path in load.folder.iterdir())
    assert sums == {"bytes": n_bytes, "files": 2, "rows": 2 * n_rows}
    positions, at = [], 0
    for name, inc, total, message in told:
        if name == "r bytes":
            at += inc
            positions.append(at)
            assert total == n_bytes and at <= n_bytes
            assert message is None or re.fullmatch(r"\d+:\d\d left", message)
    assert positions == sorted(positions) and len(set(positions)) > 2 * n_told - 1
    assert any(message for *_, message in told)


def test_pages_of_files_are_one_display(load):
    for number in range(5):
        pq.write_table(TABLE, load.folder / f"{number}.parquet")
    told, sums = load(files.read_parquet(), files_per_page=2)
    n_bytes = (load.folder / "0.parquet").stat().st_size
    assert sums == {"bytes": 5 * n_bytes, "files": 5, "rows": 5 * N_ROWS}
    assert [total for name, _, total, _ in told if name == "r bytes"][-1] == 5 * n_bytes


def test_members_of_an_archive_count(load):
    made = io.BytesIO()
    pq.write_table(TABLE, made)
    with zipfile.ZipFile(load.folder / "a.zip", "w") as archive:
        archive.writestr("a.parquet", made.getvalue())
        archive.writestr("b.parquet", made.getvalue())
    _, sums = load(files.read_parquet())
    assert sums["rows"] == 2 * N_ROWS
    assert sums["bytes"] == 2 * len(made.getvalue()) + (load.folder / "a.zip").stat().st_size
