"""`only_new="hash"`: a file whose content is what was loaded is not loaded again, whatever its time and ETag."""

import gzip
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import dlt
import fsspec
import headrace.sources.filesystem as ours
import programs
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from dlt.common.configuration.specs import AwsCredentials
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace._files import archives, stores, tracking
from headrace._files.content_hash import ContentHash
from oracle import make_pipeline, read_tables

KEY, SECRET = "AKIDEXAMPLE12345", "sk123456secretsecret"


def lines(ids):
    return "".join(json.dumps({"id": one}) + "\n" for one in ids).encode()


def parquet(ids):
    made = io.BytesIO()
    pq.write_table(pa.table({"id": list(ids)}), made)
    return made.getvalue()


def orc_of(ids):
    made = io.BytesIO()
    orc.write_table(pa.table({"id": list(ids)}), made)
    return made.getvalue()


def zipped(ids):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.jsonl"), lines(ids[:1]))
        archive.writestr(zipfile.ZipInfo("b.jsonl"), lines(ids[1:]))
    return made.getvalue()


def csv(ids):
    return b"id,name\n" + b"".join(b"%d,x\n" % one for one in ids)


LONG = range(60_000)  # more than a piece, less than a range

# A file's name, what makes its content of ids, its reader.
FORMATS = {
    "jsonl": (lines, ours.read_jsonl),
    "jsonl.gz": (lambda ids: gzip.compress(lines(ids), mtime=0), ours.read_jsonl),
    "csv": (csv, ours.read_csv),
    "csv.gz": (lambda ids: gzip.compress(csv(ids), mtime=0), ours.read_csv),
    "json": (lambda ids: json.dumps([{"id": one} for one in ids]).encode(), ours.read_json),
    "xml": (
        lambda ids: f"<a>{''.join(f'<r><id>{one}</id></r>' for one in ids)}</a>".encode(),
        lambda: ours.read_xml(record="r"),
    ),
    "txt": (
        lambda ids: b"".join(b"%d\n" % one for one in ids),
        lambda: ours.read_text(fields=[("id", 9)]),
    ),
    "parquet": (parquet, ours.read_parquet),
    "orc": (orc_of, ours.read_orc),
    "zip": (zipped, ours.read_jsonl),
    "any": (parquet, ours.read_any),
    "head.csv": (csv, lambda: ours.read_csv(nrows=1)),  # not read to its end
    "pandas.csv": (csv, lambda: ours.read_csv(engine="python")),
}


class Place:
    """Files in a store, and a pipeline over them."""

    def __init__(self, work, url, fs, credentials=None):
        self.url, self.fs, self.credentials = url, fs, credentials
        self.pipeline = make_pipeline(work, "hashes")

    def put(self, name, content, mtime):
        path = f"{self.url}/{name}".removeprefix("s3://")
        self.fs.pipe_file(path, content)
        if "file" in self.fs.protocol:
            os.utime(path, (mtime, mtime))

    def run(self, reader, **options):
        given = [self.credentials] if self.credentials is not None else []
        listing = ours.filesystem(self.url, *given, file_glob="*", only_new="hash", **options)
        self.pipeline.run((listing | reader).with_name("t"), loader_file_format="parquet")
        return sorted(int(row["id"]) for row in read_tables(self.pipeline).get("t", []))

    def state(self):
        (source,) = self.pipeline.state["sources"].values()
        (found,) = (one["headrace_files"] for one in source["resources"].values() if "headrace_files" in one)
        return next(iter(found.values()))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "bucket").mkdir()
    with programs.rclone_s3(folder, KEY, SECRET) as server:
        yield server.url


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    if request.param == "local":
        folder = tmp_path / "files"
        folder.mkdir()
        return Place(tmp_path, str(folder), fsspec.filesystem("file"))
    url = request.getfixturevalue("bucket")
    name = "bucket/" + hashlib.md5(request.node.name.encode()).hexdigest()[:12]
    credentials = AwsCredentials(
        aws_access_key_id=KEY, aws_secret_access_key=SECRET, endpoint_url=url, region_name="us-east-1"
    )
    fs = fsspec.filesystem(
        "s3", **credentials.to_s3fs_credentials(), skip_instance_cache=True, use_listings_cache=False
    )
    return Place(tmp_path, f"s3://{name}", fs, credentials)


@pytest.fixture
def read_bytes(monkeypatch):
    """Counts passes for a hash: bytes of files that were read for it alone."""
    found = []
    real = stores.read_whole
    monkeypatch.setattr(tracking, "read_whole", lambda item: (found.append(item["file_name"]), real(item)))
    return found


REMOTE = ("jsonl", "csv.gz", "parquet", "zip")  # of each way that remote files are read


@pytest.mark.parametrize(
    ("place", "kind"), [*(("local", kind) for kind in FORMATS), *(("s3", kind) for kind in REMOTE)], indirect=["place"]
)
@pytest.mark.timeout(300)
def test_a_file_that_was_only_touched_is_not_loaded_again(place, read_bytes, kind):
    make, reader = FORMATS[kind]
    ids = list(LONG) if kind in ("jsonl", "csv.gz") else [1, 2, 3]
    loaded = ids[:1] if kind == "head.csv" else ids
    place.put(f"a.{kind}", make(ids), 1000)
    assert place.run(reader()) == loaded
    assert place.run(reader()) == loaded
    assert read_bytes == []  # neither its time nor its ETag changed
    place.put(f"a.{kind}", make(ids), 2000)
    assert place.run(reader()) == loaded
    assert read_bytes == [f"a.{kind}"]
    assert place.run(reader()) == loaded
    assert read_bytes == [f"a.{kind}"]  # the new time is known
    place.put(f"a.{kind}", make([7, 8, 9, *ids[3:]]), 3000)  # of the same size
    expected = [7] if kind == "head.csv" else [7, 8, 9, *ids[3:]]
    assert place.run(reader()) == sorted(loaded + expected)
    assert read_bytes == [f"a.{kind}"] * 2 or kind in ("jsonl.gz", "csv.gz", "parquet", "any", "orc", "zip")


def test_another_size_needs_no_pass(place, read_bytes):
    place.put("a.jsonl", lines([1]), 1000)
    assert place.run(ours.read_jsonl()) == [1]
    place.put("a.jsonl", lines([1, 2]), 2000)
    assert place.run(ours.read_jsonl()) == [1, 1, 2]
    assert read_bytes == []


def test_content_that_comes_with_the_item(place, read_bytes):
    place.put("a.jsonl", lines([1]), 1000)
    assert place.run(ours.read_jsonl(), extract_content=True) == [1]
    place.put("a.jsonl", lines([1]), 2000)
    assert place.run(ours.read_jsonl(), extract_content=True) == [1]
    assert read_bytes == ["a.jsonl"]


def test_readers_of_python(place):
    @dlt.transformer
    def reader(items):
        for item in items:
            with item.open() as file:
                yield from map(json.loads, file)

    place.put("a.jsonl", lines([1]), 1000)
    assert place.run(reader) == [1]
    place.put("a.jsonl", lines([1]), 2000)
    assert place.run(reader) == [1]
    place.put("a.jsonl", lines([2]), 3000)
    assert place.run(reader) == [1, 2]


def test_a_run_that_failed_loads_its_files_again_and_no_file_twice(place):
    place.put("a.jsonl", lines([1]), 1000)
    assert place.run(ours.read_jsonl()) == [1]
    place.put("a.jsonl", lines([1]), 2000)  # touched
    place.put("b.jsonl", lines([2]), 2000)
    place.put("c.jsonl", b"{", 2000)
    with pytest.raises(PipelineStepFailed):
        place.run(ours.read_jsonl())
    place.pipeline.abort_packages()
    place.put("c.jsonl", lines([3]), 3000)
    assert place.run(ours.read_jsonl()) == [1, 2, 3]
    place.put("b.jsonl", lines([2]), 4000)
    assert place.run(ours.read_jsonl()) == [1, 2, 3]


def test_a_run_killed_after_extract_goes_on(place):
    place.put("a.jsonl", lines([1]), 1000)
    given = [place.credentials] if place.credentials is not None else []
    listing = ours.filesystem(place.url, *given, file_glob="*", only_new="hash")
    place.pipeline.extract((listing | ours.read_jsonl()).with_name("t"), loader_file_format="parquet")
    place.put("a.jsonl", lines([1]), 2000)
    assert place.run(ours.read_jsonl()) == [1]  # dlt loads what it had extracted
    assert place.run(ours.read_jsonl()) == [1]


def test_a_skipped_file_is_tried_again_and_one_that_comes_back_is_not(place):
    place.put("a.jsonl", lines([1]), 1000)
    place.put("b.jsonl", b'{"id": 2}\n{', 1000)
    assert place.run(ours.read_jsonl(on_error="skip_file")) == [1]
    place.put("b.jsonl", lines([2]), 1000)
    place.fs.rm(f"{place.url}/a.jsonl".removeprefix("s3://"))
    assert place.run(ours.read_jsonl(on_error="skip_file")) == [1, 2]
    assert place.state()["removed"] == ["a.jsonl"]
    place.put("a.jsonl", lines([1]), 5000)
    assert place.run(ours.read_jsonl(on_error="skip_file")) == [1, 2]
    assert place.state()["removed"] == []


def test_hashes_that_come_late_are_kept_in_parts(place, monkeypatch, read_bytes):
    monkeypatch.setattr(tracking, "_MOST_LATE", 3)
    names = [f"{number:02}.jsonl" for number in range(8)]
    for number, name in enumerate(names):
        place.put(name, lines([number]), 1000)
    held = []

    @dlt.transformer
    def late(items):  # reads when the listing has ended
        held.extend(items)
        yield None
        while held:
            with held.pop().open() as file:
                yield from map(json.loads, file)

    assert place.run(late, files_per_page=100) == list(range(8))
    found = place.state()
    assert len(found["parts"]) == 2 and len(found["late"]) == 2
    known = [tracking.unpack(part) for part in found["parts"]]
    assert sorted([*found["late"], *known[0], *known[1]]) == names
    for name in names:
        place.put(name, lines([int(name[:2])]), 2000)
    assert place.run(late) == list(range(8))
    assert sorted(read_bytes) == names
    assert not place.state().get("parts") and not place.state().get("late")


def test_a_file_that_changed_meanwhile_is_not_known(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"x" * 100)
    told = []
    file = stores.LocalFile(str(path), "a", ContentHash(told.append))
    file.hash_aside()
    path.write_bytes(b"y" * 101)
    with pytest.raises(Exception, match="changed while it was read"):
        file.check_unchanged()
    file.close()
    assert told == []


def test_bytes_that_were_not_asked_for_are_hashed_too(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)) * 10_000)
    told = []
    for n_read in (0, 10, 2_560_000):
        with stores.LocalBytes(str(path), "a", ContentHash(told.append)) as file:
            if n_read:
                file.readinto(bytearray(n_read))
            file.check_unchanged()
            file.check_unchanged()
    whole = ContentHash(told.append)
    whole.add(path.read_bytes())
    whole.finish()
    assert len(told) == 4 and len(set(told)) == 1 and len(told[0]) == 10


def test_an_archive_is_hashed_as_it_lies(tmp_path):
    path = Path(tmp_path, "a.zip")
    path.write_bytes(zipped([1, 2]))
    (item,) = ours.filesystem(str(tmp_path), file_glob="*.zip")
    told = []
    item.tracker = tracking._Taker(told)
    assert len(archives.members_of(item)) == 2
    expected = []
    whole = ContentHash(expected.append)
    whole.add(path.read_bytes())
    whole.finish()
    assert told == expected
