"""Members of zip and tar archives, read as files of their own; archives made by Python's modules, hostile ones by hand."""

import gzip
import io
import random
import struct
import tarfile
import zipfile

import headrace.sources.filesystem as ours
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from files_reading import read, served
from headrace._files import ahead
from headrace._files.archives import IsArchive, archive_of, members_of
from headrace._files.opened import open_file
from headrace._files.stores import stored_bytes
from oracle import make_pipeline, read_tables

CSV = {
    f"{folder}{name}.csv": f"id,n\n{i},{i * 2}\n".encode() for i, (folder, name) in enumerate([("", "a"), ("d/", "b")])
}
JSONL = {f"{i}.jsonl": b'{"id": %d, "n": %d}\n' % (i, i * 2) for i in range(2)}
JSON = {f"{i}.json": b'[{"id": %d, "n": %d}]' % (i, i * 2) for i in range(2)}


def zipped(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.mkdir("d") if hasattr(archive, "mkdir") else archive.writestr("d/", b"")
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("__MACOSX/._a.csv", b"\0\1")
    return out.getvalue()


def tarred(members, kind=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return out.getvalue()


def zstd(data):
    return pa.Codec("zstd").compress(data, asbytes=True)


PACKED = {
    "a.zip": zipped,
    "stored.zip": lambda members: zipped(members, zipfile.ZIP_STORED),
    "lzma.bin": lambda members: zipped(members, zipfile.ZIP_LZMA),
    "a.zip.gz": lambda members: gzip.compress(zipped(members)),
    "a.tar": tarred,
    "gnu.tar": lambda members: tarred(members, tarfile.GNU_FORMAT),
    "a.tar.gz": lambda members: gzip.compress(tarred(members)),
    "no name of a tar": lambda members: zstd(tarred(members)),
    "members.gz.tar": lambda members: tarred({f"{name}.gz": gzip.compress(one) for name, one in members.items()}),
}
READERS = {"read_csv": CSV, "read_jsonl": JSONL, "read_json": JSON, "read_any": CSV}


def run(tmp_path, files, reader="read_csv", listed=None, **options):
    pipeline = make_pipeline(tmp_path, "ours")
    found = ours.filesystem(str(files), file_glob="*", **(listed or {}))
    made = getattr(ours, reader)(**options) if options else getattr(ours, reader)()
    pipeline.run((found | made).with_name("t"), loader_file_format="parquet")
    return pipeline


def ids(pipeline):
    return sorted(row["id"] for row in read_tables(pipeline)["t"])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", PACKED)
def test_members_are_files(tmp_path, files, reader, name):
    (files / name).write_bytes(PACKED[name](READERS[reader]))
    (files / "zz").write_bytes(next(iter(READERS[reader].values())).replace(b"0", b"7"))  # and go on behind it
    pipeline = run(tmp_path, files, reader)
    assert [ids(pipeline)[0], ids(pipeline)[-1], len(ids(pipeline))] == [0, 7, 3]
    found = read(getattr(ours, f"_{reader}"), files, name)  # outside of a pipeline
    rows = [row for one in found for row in (one.to_pylist() if isinstance(one, pa.Table) else one)]
    assert [row["id"] for row in rows] == [0, 1]


def jsonl(first, n):
    return b"".join(b'{"id": %d, "text": "%s"}\n' % (i, b"x" * 200) for i in range(first, first + n))


@pytest.mark.parametrize("pack", ["a.zip", "stored.zip", "a.tar"])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_big_members_are_read_ahead_in_their_order(tmp_path, files, monkeypatch, pack, most):
    monkeypatch.setattr(ahead, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(ahead.os, "cpu_count", lambda: most)
    fetched = []
    real = ahead.Fetch.run
    monkeypatch.setattr(ahead.Fetch, "run", lambda fetch: (fetched.append(fetch.item["file_name"]), real(fetch)))
    (files / "0.jsonl.gz").write_bytes(gzip.compress(jsonl(0, 100)))
    members = {f"{i}.jsonl": jsonl(100 * i, 100) for i in range(1, 6)} | {"6.jsonl": jsonl(600, 10)}
    (files / f"1-{pack}").write_bytes(PACKED[pack](members))
    (files / "2.jsonl").write_bytes(jsonl(700, 100))
    (files / "3.zip").write_bytes(PACKED[pack]({"8.jsonl": jsonl(800, 100)}))
    for i in (9, 10, 11):
        (files / f"{i:03}.jsonl.gz").write_bytes(gzip.compress(jsonl(i * 100, 100)))
    lines = [row["id"] for row in read_tables(run(tmp_path, files, "read_jsonl"))["t"]]
    by_name = [*range(100), *range(900, 1200), *range(100, 610), *range(700, 800), *range(800, 900)]
    assert lines == by_name  # 0, 009, 010, 011, 1-..., 2, 3.zip
    packed = [f"{i}.jsonl" for i in (1, 2, 3, 4, 5, 8)] if pack == "a.zip" else []
    assert sorted(fetched) == sorted(["0.jsonl.gz", "009.jsonl.gz", "010.jsonl.gz", "011.jsonl.gz", *packed])


def test_big_plain_archives_are_told(tmp_path, files):
    content = random.Random(1).randbytes(300_000).hex().encode()
    (files / "a.zip").write_bytes(zipped({"a.jsonl": b'{"id": 1, "text": "%s"}' % content}))
    assert (files / "a.zip").stat().st_size > ahead.BLOCK_BYTES
    assert ids(run(tmp_path, files, "read_jsonl")) == [1]


def test_members_of_other_formats(tmp_path, files):
    made = io.BytesIO()
    pq.write_table(pa.table({"id": [5]}), made)
    (files / "a.zip").write_bytes(
        zipped({"x.bin": made.getvalue(), "t.txt": b"<r><i><id>6</id></i></r>", **CSV, "j": b'{"id": 9}\n{"id": 10}\n'})
    )
    rows = read_tables(run(tmp_path, files, "read_any", options={"xml": {"record": "i"}}))["t"]
    assert sorted(str(row.get("id") or row.get("id__v_text") or 0) for row in rows) == ["0", "1", "10", "5", "6", "9"]
    assert [one.num_rows for one in read(ours._read_parquet, files, on_error="skip_file")] == [1]
    lines = [row for one in read(ours._read_text, files, on_error="skip_file") for row in one.to_pylist()]
    assert {"file_name": "b.csv", "line_number": 2, "text": "1,2"} in lines


def test_errors_name_the_member(tmp_path, files):
    bad = bytearray(zipped({"good.csv": b"id\n1\n", "d/b ad.csv": b"id\n" + b"2\n" * 3000}))
    at = bad.index(b"d/b ad.csv") + 30
    bad[at] ^= 0xFF
    (files / "a.zip").write_bytes(bad)
    with pytest.raises(PipelineStepFailed, match=r"a\.zip!d/b%20ad\.csv.*(corrupt|Bad CRC|invalid)"):
        run(tmp_path / "raise", files)
    pipeline = run(tmp_path / "skip", files, on_error="skip_file")
    assert 1 in ids(pipeline)
    (skipped,) = served(pipeline, "t")["skipped"]
    assert skipped["url"].endswith("a.zip!d/b%20ad.csv")


def with_encrypted_flag(data):
    data = bytearray(data)
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(magic, at + 1)) >= 0:
            data[at + place] |= 1
    return bytes(data)


def overlapping():
    """Ten entries of the directory that are one member."""
    data = zipped({"a.csv": b"id\n" + bytes(range(48, 58)) * 400}, zipfile.ZIP_STORED)
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    size = 46 + len("a.csv")
    directory = data[data.rindex(b"a.csv", start, data.index(b"__MACOSX", start)) - 46 :][:size]
    return (
        data[:start] + directory * 10 + data[end : end + 8] + struct.pack("<HHII", 10, 10, size * 10, start) + b"\0\0"
    )


def tar_with_header_of(size):
    """A pax header that says it is so large."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, size
    return info.tobuf() + b"\0" * 4096


REFUSED = {
    "ratio": (lambda: zipped({"a.csv": b"0" * (20 << 20)}), "more than archive_max_ratio, 500"),
    "tar's ratio": (lambda: gzip.compress(tarred({"a.csv": b"0" * (20 << 20)})), "more than archive_max_ratio, 500"),
    "members": (lambda: zipped({str(i): b"x" for i in range(60)}), "archive_max_members is 50"),
    "tar's members": (lambda: tarred({str(i): b"x" for i in range(60)}), "archive_max_members is 50"),
    "bytes": (lambda: zipped({"a": bytes(range(256)) * (33 << 12)}), "more than archive_max_bytes, 33554432"),
    "overlap": (overlapping, "members overlap"),
    "encrypted": (lambda: with_encrypted_flag(zipped({"a.csv": b"id\n1\n"})), "the member is encrypted"),
    "cut zip": (lambda: zipped(CSV)[:-30], "the zip is cut"),
    "cut tar": (lambda: tarred({"a.csv": b"id\n" + b"1\n" * 5000})[:4000], "cut or corrupt|ends at byte"),
    "corrupt tar": (lambda: tarred(CSV)[:1024] + b"?" * 512 + tarred(CSV)[1536:], "no header of a member at byte 1024"),
    "header": (lambda: tar_with_header_of(1 << 30), "a header of the tar of"),
    "nested": (lambda: zipped({"b.zip": zipped(CSV)}), "an archive in an archive"),
    "workbook": (lambda: zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}), "office document"),
}


@pytest.mark.parametrize("reader", ["read_csv", "read_jsonl"])
@pytest.mark.parametrize("case", REFUSED)
def test_hostile_archives_are_refused(tmp_path, files, monkeypatch, case, reader):
    monkeypatch.setenv("HEADRACE__ARCHIVE_MAX_MEMBERS", "50")
    monkeypatch.setenv("HEADRACE__ARCHIVE_MAX_BYTES", str(32 << 20))
    make, message = REFUSED[case]
    (files / "bad.bin").write_bytes(make())
    with pytest.raises(PipelineStepFailed, match=rf"bad\.bin.*({message})"):
        run(tmp_path, files, reader)
    good = {name: one for name, one in (CSV if reader == "read_csv" else JSONL).items() if "0" in name or "a." in name}
    (files / "good.zip").write_bytes(zipped(good))
    assert ids(run(tmp_path / "skip", files, reader, on_error="skip_file")) == [0]


def test_a_pattern_of_members(tmp_path, files, monkeypatch):
    (files / "a.zip").write_bytes(zipped({**CSV, "README": b"a,b,c\n1\n"}))
    monkeypatch.setenv("HEADRACE__ARCHIVE_MEMBERS", "*.csv")
    assert ids(run(tmp_path, files)) == [0, 1]


@pytest.mark.parametrize("n_bad", [1, 2])
def test_only_new_loads_an_archive_once(tmp_path, files, n_bad):
    """One of which a member was left out is loaded; one of which all were is tried again."""
    members = {name: b"\xff\xfe" if i < n_bad else one for i, (name, one) in enumerate(JSONL.items())}
    (files / "a.zip").write_bytes(zipped(members))
    options = {"listed": {"only_new": "name"}, "on_error": "skip_file"}
    pipeline = run(tmp_path, files, "read_jsonl", **options)
    assert n_bad == 2 or ids(pipeline) == [1]
    (files / "a.zip").write_bytes(zipped(JSONL))
    pipeline = run(tmp_path, files, "read_jsonl", **options)
    assert ids(pipeline) == ([1] if n_bad == 1 else [0, 1])


def test_many_members_in_order(tmp_path, files):
    members = {f"{i:04}.jsonl": b'{"id": %d}\n' % i for i in range(1500)}
    (files / "a.tar.gz").write_bytes(gzip.compress(tarred(members)))
    pipeline = run(tmp_path, files, "read_jsonl")
    assert [row["id"] for row in read_tables(pipeline)["t"]] == list(range(1500))
    assert served(pipeline, "t")["counts"]["files"] == 1500


def test_what_is_no_archive_stays_one_file(tmp_path, files):
    (files / "a.csv").write_bytes(b"PK,n\n1,2\n")
    assert [row["n"] for row in read_tables(run(tmp_path, files))["t"]] == [2]
    assert archive_of(b"") is archive_of(b"0" * 512) is archive_of(b" " * 512) is archive_of(b"\xff" * 600) is None
    assert archive_of(tarred(CSV)) == "tar" and archive_of(zipped({})) == "zip"


def test_a_changed_archive_is_told(files):
    (files / "a.tar").write_bytes(tarred(CSV))
    (item,) = list(ours.filesystem(str(files)))
    with pytest.raises(IsArchive):
        open_file(item)
    member = members_of(item)[0]
    with stored_bytes(member) as stored:
        stored.check_unchanged()
        (files / "a.tar").write_bytes(tarred({**CSV, "c": b"1"}))
        with pytest.raises(OSError, match=r"a\.tar changed while it was read"):
            stored.check_unchanged()
