"""Archives in remote stores: their members as from the folder behind them; broken and replaced ones, and errors without secrets."""

import gzip
import logging

import fsspec
import headrace.sources.filesystem as ours
import programs
import pytest
from dlt.common.configuration.specs import AwsCredentials
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace._files import stores
from headrace._files.archives import IsArchive, members_of
from headrace._files.opened import open_file
from headrace._files.skips import FileChanged
from oracle import assert_equal, make_pipeline, read_tables
from test_files_archives import tarred, zipped
from test_files_stores import KEY, SECRET, STORES, credentials

MEMBERS = {f"d/{i}.csv": b"id,n\n" + b"".join(b"%d,%d\n" % (i * 1000 + k, k) for k in range(300)) for i in range(4)}
ARCHIVES = {
    "a.zip": zipped(MEMBERS),
    "b.tar": tarred(MEMBERS),
    "c.tar.gz": gzip.compress(tarred(MEMBERS)),
    "d.zip": zipped({f"{name}.gz": gzip.compress(one) for name, one in MEMBERS.items()}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("served") / "bucket"
    found.mkdir()
    for name, content in ARCHIVES.items():
        (found / name).write_bytes(content)
    return found


@pytest.fixture(scope="module")
def s3(folder):
    with programs.rclone_s3(folder.parent, KEY, SECRET) as server:
        yield server.url


@pytest.fixture
def small_ranges(monkeypatch):
    """So that small archives take many requests."""
    monkeypatch.setattr(stores, "RANGE_BYTES", 1 << 11)
    monkeypatch.setattr(stores, "_FIRST_BYTES", 1 << 10)


def load(folder, name, listing, **options):
    pipeline = make_pipeline(folder / name, name)
    pipeline.run((listing | ours.read_csv(chunksize=1000, **options)).with_name("t"), loader_file_format="parquet")
    return pipeline


@pytest.mark.parametrize("kind", [*STORES, "s3"])
def test_members_of_a_remote_archive_are_those_of_a_local_one(tmp_path, folder, s3, small_ranges, kind):
    local = load(tmp_path, "local", ours.filesystem(str(folder)))
    assert len(read_tables(local)["t"]) == len(ARCHIVES) * 4 * 300
    if kind == "s3":
        remote = load(tmp_path, "remote", ours.filesystem("s3://bucket", credentials(s3)))
    else:
        with STORES[kind](folder) as (url, options):
            listed = ours.filesystem(url, **options, file_glob="*.*", fetch_file_info=True)
            remote = load(tmp_path, "remote", listed)
    assert_equal(local, remote)


def cut_member(content):
    """The zip, with bytes of the second member changed."""
    at = content.index(b"d/1.csv") + 40
    return content[:at] + bytes(byte ^ 0x55 for byte in content[at : at + 20]) + content[at + 20 :]


BROKEN = {
    "cut.zip": (ARCHIVES["a.zip"][:-30], r"cut\.zip\S*: .*the zip is cut"),
    "member.zip": (cut_member(ARCHIVES["a.zip"]), r"member\.zip!d/1\.csv"),
    "cut.tar": (ARCHIVES["b.tar"][:6000], r"cut\.tar!d/\d\.csv|cut or corrupt|ends at byte"),
    "cut.tar.gz": (ARCHIVES["c.tar.gz"][:-200], r"cut\.tar\.gz\S*: .*the gzip data end"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_remote_archive_is_told_with_its_place(tmp_path, s3, small_ranges, name):
    content, message = BROKEN[name]
    store = fsspec.filesystem("s3", **credentials(s3).to_s3fs_credentials(), skip_instance_cache=True)
    store.makedirs("broken", exist_ok=True)
    store.pipe_file(f"broken/{name}", content)
    with pytest.raises(PipelineStepFailed, match=message) as failed:
        load(tmp_path, "raise", ours.filesystem("s3://broken", credentials(s3), file_glob=name))
    assert f"s3://broken/{name}" in str(failed.value)


def test_an_archive_that_is_replaced_between_members_is_told(s3, small_ranges):
    store = fsspec.filesystem("s3", **credentials(s3).to_s3fs_credentials(), skip_instance_cache=True)
    store.makedirs("replaced", exist_ok=True)
    store.pipe_file("replaced/a.zip", ARCHIVES["a.zip"])
    (item,) = ours.filesystem("s3://replaced", credentials(s3))
    with pytest.raises(IsArchive):
        open_file(item)
    first, second, *_ = members_of(item)
    with open_file(first) as file:
        assert file.read() == MEMBERS["d/0.csv"]
    store.pipe_file("replaced/a.zip", zipped({name: one.replace(b",", b";") for name, one in MEMBERS.items()}))
    with (
        pytest.raises(FileChanged, match=r"s3://replaced/a\.zip.*changed while it was read"),
        open_file(second) as file,
    ):
        file.read()
        file.check_unchanged()


def secrets_in(texts, secrets):
    return [secret for secret in secrets for text in texts if secret in text]


@pytest.mark.parametrize("place", ["credentials", "url"])
def test_errors_and_logs_of_a_store_have_no_secrets(tmp_path, folder, s3, caplog, place):
    caplog.set_level(logging.DEBUG, "dlt")
    if place == "url":
        with STORES["http"](folder) as (url, _):
            where = url.replace("http://", "http://user:pa55w0rd-in-url@")
            (item, *_) = ours.filesystem(url, file_glob="*.zip")
            item["file_url"] = f"{where}/gone.zip?token=t0ken-in-url"
            with pytest.raises(Exception, match=r"gone\.zip") as failed:
                list(ours._read_csv([item]))
        secrets = ["pa55w0rd-in-url", "t0ken-in-url"]
    else:
        given = AwsCredentials(
            aws_access_key_id=KEY,
            aws_secret_access_key="wr0ng-secret-key",
            aws_session_token="t0ken-of-a-session",
            endpoint_url=s3,
            region_name="us-east-1",
        )
        with pytest.raises(PipelineStepFailed) as failed:
            load(tmp_path, "failed", ours.filesystem("s3://bucket", given, file_glob="a.zip"))
        secrets = ["wr0ng-secret-key", "t0ken-of-a-session"]
    chain, error = [], failed.value
    while error is not None:
        chain.append(f"{error}\n{error!r}\n{getattr(error, '__notes__', '')}")
        error = error.__cause__ or error.__context__
    assert secrets_in(chain, secrets) == []
    assert secrets_in([record.getMessage() for record in caplog.records], secrets) == []
