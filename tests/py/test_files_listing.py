"""`filesystem`: what it lists beside dlt's, and files that are loaded once (`only_new`)."""

import base64
import hashlib
import json
import os
import random
from collections import OrderedDict
from pathlib import Path

import dlt
import dlt.sources.filesystem as dlts
import fsspec
import headrace.sources.filesystem as ours
import pytest
from dlt.common.storages.fsspec_filesystem import glob_files
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace._files import tracking
from headrace._files.listing import listed
from headrace._files.stores import local_path
from oracle import make_pipeline, read_tables

NAMES = ["a.jsonl", "b.csv.gz", "no_suffix", "two.dots.json", "ü ö.txt", "per%cent.json", "que?stion#.json", "sub/c.jsonl",
         "sub/deep/d.parquet", "sub/.hidden", "t.tar.gz", "x.JSON"]  # fmt: skip


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "the files"
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("x" * number)
        os.utime(folder / name, (1_700_000_000 + number, 1_700_000_000.25 + number))
    (folder / "link").symlink_to(folder / "a.jsonl")
    return folder


@pytest.mark.every_dlt
@pytest.mark.parametrize("pattern", ["*", "**", "**/*", "**/*.jsonl", "sub/*", "nothing*", "a.jsonl"])
def test_local_files_are_listed_as_dlt_does(files, pattern):
    fs = fsspec.filesystem("file")
    for url in (str(files), files.as_uri(), str(files) + "/"):
        found = list(listed(fs, url, pattern))
        expected = sorted(glob_files(fs, url, pattern), key=lambda one: one["file_url"])
        assert sorted(found, key=lambda one: one["file_url"]) == expected
        for item in found:
            assert local_path(item) == item.local_file_path and Path(local_path(item)).is_file()


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("func", [min, max])
def test_row_order_is_dlts(files, order, func):
    def names(module):
        cursor = dlt.sources.incremental("modification_date", row_order=order, last_value_func=func)
        return [one["file_name"] for one in module.filesystem(str(files), file_glob="*.json*", incremental=cursor)]

    assert names(ours) == names(dlts)


def write(path, *ids, mtime=None):
    path.write_text("".join(json.dumps({"id": one}) + "\n" for one in ids))
    if mtime is not None:
        os.utime(path, (mtime, mtime))


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    pipeline = make_pipeline(tmp_path, "tracked")

    def run(only_new="version", on_error="raise", **options):
        listing = ours.filesystem(str(folder), file_glob="*.jsonl", only_new=only_new, **options)
        pipeline.run(listing | ours.read_jsonl(on_error=on_error), loader_file_format="parquet")
        return sorted(row["id"] for row in read_tables(pipeline).get("_read_jsonl", []))

    run.folder, run.pipeline = folder, pipeline
    return run


def state_of(pipeline):
    (found,) = next(iter(pipeline.state["sources"].values()))["resources"]["filesystem"]["headrace_files"].values()
    return found


def test_a_file_is_loaded_once_and_late_ones_are_found(run):
    write(run.folder / "a.jsonl", 1, mtime=2000)
    write(run.folder / "b.jsonl", 2, mtime=3000)
    assert run() == [1, 2]
    assert run() == [1, 2]
    write(run.folder / "late.jsonl", 3, mtime=1000)  # older than what was loaded
    write(run.folder / "b.jsonl", 4, mtime=3001)  # changed
    assert run() == [1, 2, 3, 4]
    (run.folder / "a.jsonl").unlink()
    assert run() == [1, 2, 3, 4]
    assert state_of(run.pipeline)["removed"] == ["a.jsonl"]
    write(run.folder / "a.jsonl", 1, mtime=2000)  # back, the same
    assert run() == [1, 2, 3, 4]
    assert state_of(run.pipeline)["removed"] == []


def test_by_name_a_changed_file_is_not_loaded_again(run):
    write(run.folder / "a.jsonl", 1)
    assert run("name") == [1]
    write(run.folder / "a.jsonl", 2, 3)
    assert run("name") == [1]


def test_a_run_that_failed_loads_its_files_again_and_no_file_twice(run):
    write(run.folder / "a.jsonl", 1)
    write(run.folder / "b.jsonl", 2)
    (run.folder / "c.jsonl").write_text("{")
    with pytest.raises(PipelineStepFailed):
        run()
    run.pipeline.drop_pending_packages()
    write(run.folder / "c.jsonl", 3)
    assert run() == [1, 2, 3]


def test_a_run_killed_after_extract_goes_on(run, tmp_path):
    write(run.folder / "a.jsonl", 1)
    listing = ours.filesystem(str(run.folder), file_glob="*.jsonl", only_new="version")
    run.pipeline.extract(listing | ours.read_jsonl(), loader_file_format="parquet")
    assert run() == [1]  # dlt loads what it had extracted
    assert run() == [1]


def test_a_skipped_file_is_tried_again(run):
    write(run.folder / "a.jsonl", 1)
    (run.folder / "b.jsonl").write_text('{"id": 2}\n{')
    assert run(on_error="skip_file") == [1]
    assert run(on_error="skip_file") == [1]
    os.utime(run.folder / "b.jsonl", (5, 5))
    write(run.folder / "b.jsonl", 2)
    assert run(on_error="skip_file") == [1, 2]
    assert run(on_error="skip_file") == [1, 2]


def test_pages_that_were_not_taken_are_not_known(run):
    for number in range(6):
        write(run.folder / f"{number}.jsonl", number)
    listing = ours.filesystem(str(run.folder), file_glob="*.jsonl", only_new="version", files_per_page=2).add_limit(1)
    run.pipeline.run(listing | ours.read_jsonl(), loader_file_format="parquet")
    assert len(read_tables(run.pipeline)["_read_jsonl"]) == 2
    assert run() == list(range(6))


def test_two_readers_of_the_same_files_both_get_the_new_ones(tmp_path, run):
    write(run.folder / "a.jsonl", 1)

    @dlt.source(name="two")
    def two():
        for name in ("first", "second"):
            yield ours.filesystem(
                str(run.folder), file_glob="*.jsonl", only_new="version"
            ) | ours.read_jsonl().with_name(name)

    pipeline = make_pipeline(tmp_path / "two", "two")
    for ids in ([1], [1, 2]):
        pipeline.run(two(), loader_file_format="parquet")
        assert {name: sorted(row["id"] for row in rows) for name, rows in read_tables(pipeline).items()} == {
            "first": ids, "second": ids
        }  # fmt: skip
        write(run.folder / "b.jsonl", 2)


def test_what_earlier_extractions_knew_is_dropped(monkeypatch):
    held = OrderedDict({(f"load {n}", "key"): dict.fromkeys(map(str, range(40)), "") for n in range(3)})
    held["load 3", "one"] = held["load 3", "two"] = dict.fromkeys(map(str, range(200)), "")
    monkeypatch.setattr(tracking, "_known", held)
    monkeypatch.setattr(tracking, "_MOST_HELD", 450)
    tracking._forget_earlier("load 3")
    assert list(held) == [("load 2", "key"), ("load 3", "one"), ("load 3", "two")]


def test_etags_must_be_there(run):
    write(run.folder / "a.jsonl", 1)
    with pytest.raises(PipelineStepFailed, match=r"the store gives none for a\.jsonl: take `version`"):
        run("etag")


def test_known_files_are_found_by_their_paths():
    rng = random.Random(4)
    files = {f"{rng.choice('abc')}/{n}\t\n\\{rng.getrandbits(20):x}ü\udcff": f"{n:05}"[-5:] for n in range(3000)}
    files |= {"": "empty", "x": "", "x\t": "tab", "x\ty": "tab2"}
    packed = tracking.pack(sorted(files.items()))
    known = tracking.KnownFiles(packed, {}, set())
    assert list(known.files()) == sorted(files.items()) and len(known) == len(files)
    for path, version in files.items():
        assert known.version(known.number(path)) == version
        assert known.file(known.number(path)) == (path, version)
        assert known.number(path + "z") == known.number("z" + path) == -1
    late = {"x": "late", "new": "n", "left out": "l"}
    known = tracking.KnownFiles(packed, late, {"x\t", "left out", "not there"})
    expected = {**files, **late}
    del expected["x\t"], expected["left out"]
    assert list(known.files()) == sorted(expected.items())
    assert (
        list(tracking.KnownFiles("", {}, set()).files()) == [] and tracking.KnownFiles("", {}, set()).number("a") == -1
    )


def test_versions_are_those_of_states_that_were_written_before(run):
    """Else all files would be loaded again with a new version of headrace."""
    write(run.folder / "a.jsonl", 1, mtime=2000)
    run()
    size = (run.folder / "a.jsonl").stat().st_size
    digest = hashlib.blake2b(repr((2000.0, size)).encode(), digest_size=4).digest()
    assert tracking.unpack(state_of(run.pipeline)["files"]) == {"a.jsonl": base64.b64encode(digest)[:5].decode()}


def test_too_many_files_forget_those_that_are_gone(run, monkeypatch):
    for number in range(4):
        write(run.folder / f"{number}.jsonl", number)
    run()
    (run.folder / "1.jsonl").unlink()
    write(run.folder / "4.jsonl", 4)
    monkeypatch.setattr(tracking, "MOST_FILES", 4)
    assert run() == [0, 1, 2, 3, 4]
    assert list(tracking.unpack(state_of(run.pipeline)["files"])) == ["0.jsonl", "2.jsonl", "3.jsonl", "4.jsonl"]
    write(run.folder / "5.jsonl", 5)
    with pytest.raises(PipelineStepFailed, match="5 files, more than 4 to remember"):
        run()


def test_the_state_stays_small_and_whole(monkeypatch):
    rng = random.Random(3)
    files = {f"data/{n // 1000:04}/part-{n:07}-{rng.getrandbits(64):016x}.jsonl.gz": f"{n:05x}" for n in range(20_000)}
    files |= {"new\nline\\n": "a", "tab\t\\": "b", "\udcff": "c", "": "d"}
    packed = tracking.pack(files.items())
    assert tracking.unpack(packed) == files
    for lines, n_bytes in ((1, 1000), (7, 100), (20_004, 1 << 30)):
        monkeypatch.setattr(tracking, "_PART_LINES", lines)
        monkeypatch.setattr(tracking, "_PART_BYTES", n_bytes)
        assert tracking.unpack(packed) == tracking.unpack(tracking.pack(files.items())) == files
    assert len(packed) < 25 * len(files)
    assert tracking.unpack(tracking.pack([])) == {} == tracking.unpack("")
