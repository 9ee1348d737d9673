"""Files of real stores: S3 that checks signatures, HTTP; the same tables as from the folder behind them."""

import gzip
import json

import dlt
import fsspec
import headrace.sources.filesystem as ours
import programs
import pytest
from dlt.common.configuration.specs import AwsCredentials
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace._files import stores
from headrace._files.opened import open_file
from headrace._files.skips import FileChanged
from oracle import assert_equal, make_pipeline, read_tables

KEY, SECRET = "AKIDEXAMPLE12345", "sk123456secretsecret"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("served") / "bucket"
    found.mkdir()
    for number in range(12):
        rows = [{"id": number * 1000 + i, "tags": [{"t": k} for k in range(i % 3)]} for i in range(200)]
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        name = found / f"{number:02}.jsonl"
        (name.write_bytes if number % 3 else lambda data, name=name: name.write_bytes(gzip.compress(data)))(text)
    with (found / "big.json").open("wb") as file:
        for i in range(60_000):
            file.write(b'{"id": %d, "text": "%s"}\n' % (i, b"x" * 200))
    return found


@pytest.fixture(scope="module")
def s3(folder):
    with programs.rclone_s3(folder.parent, KEY, SECRET) as server:
        yield server.url


def credentials(url, secret=SECRET):
    return AwsCredentials(
        aws_access_key_id=KEY, aws_secret_access_key=secret, endpoint_url=url, region_name="us-east-1"
    )


def load(tmp_path, name, listing, **options):
    pipeline = make_pipeline(tmp_path / name, name)
    pipeline.run(listing | ours.read_jsonl(**options), loader_file_format="parquet")
    return pipeline


def test_s3_gives_the_tables_of_the_folder(tmp_path, folder, s3):
    local = load(tmp_path, "local", ours.filesystem(str(folder), file_glob="*.jsonl"))
    remote = load(tmp_path, "remote", ours.filesystem("s3://bucket", credentials(s3), file_glob="*.jsonl"))
    assert_equal(local, remote)
    assert [row["id"] for row in read_tables(local)["_read_jsonl"]] == [
        row["id"] for row in read_tables(remote)["_read_jsonl"]
    ]


def test_s3_refuses_a_wrong_secret(tmp_path, s3):
    with pytest.raises(PipelineStepFailed) as failed:
        load(
            tmp_path,
            "wrong",
            ours.filesystem("s3://bucket", credentials(s3, "another-secret-secret"), file_glob="*.jsonl"),
        )
    assert "another-secret" not in str(failed.value)


def test_a_big_object_comes_in_ranges_and_its_change_is_told(folder, s3, monkeypatch):
    monkeypatch.setattr(stores, "RANGE_BYTES", 1 << 20)
    (item,) = ours.filesystem("s3://bucket", credentials(s3), file_glob="big.json")
    with open_file(item) as file:
        assert file.read() == (folder / "big.json").read_bytes()
        file.check_unchanged()
    with open_file(item) as file:
        file.read(100)
        with (folder / "big.json").open("ab") as more:
            more.write(b"{}\n")
        with pytest.raises(FileChanged, match=r"s3://bucket/big\.json changed while it was read"):
            while file.read(1 << 20):
                pass
            file.check_unchanged()


def test_only_new_by_etag(tmp_path, folder, s3):
    pipeline = make_pipeline(tmp_path, "etags")

    def run():
        listing = ours.filesystem("s3://bucket", credentials(s3), file_glob="tracked*.txt", only_new="etag")
        pipeline.run(listing | ours.read_jsonl(), loader_file_format="parquet")
        return sorted(row["id"] for row in read_tables(pipeline)["_read_jsonl"])

    store = fsspec.filesystem("s3", **credentials(s3).to_s3fs_credentials())
    store.pipe_file("bucket/tracked1.txt", b'{"id": 1}\n')
    assert run() == [1]
    store.pipe_file("bucket/tracked1.txt", b'{"id": 1}\n')  # newer, with the same content
    store.pipe_file("bucket/tracked2.txt", b'{"id": 2}\n')
    assert run() == [1, 2]


def test_http(tmp_path, folder):
    with programs.rclone("http", folder) as server:
        remote = load(tmp_path, "http", ours.filesystem(server.url, file_glob="*.jsonl", fetch_file_info=True))
    local = load(tmp_path, "local", ours.filesystem(str(folder), file_glob="*.jsonl"))
    assert_equal(local, remote)


def test_ftp_which_gives_one_file_at_a_time(tmp_path, folder):
    with programs.rclone("ftp", folder, "--user", "u", "--pass", "p") as server:
        fs = fsspec.filesystem("ftp", host="127.0.0.1", port=server.port, username="u", password="p")
        remote = load(tmp_path, "ftp", ours.filesystem("ftp:///", fs, file_glob="*.jsonl"))
    assert_equal(load(tmp_path, "local", ours.filesystem(str(folder), file_glob="*.jsonl")), remote)


def test_a_store_that_breaks_off(tmp_path, folder):
    few = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1}}
    with programs.rclone_s3(folder.parent, KEY, SECRET) as server:
        listed = list(ours.filesystem("s3://bucket", credentials(server.url), file_glob="0*.jsonl", kwargs=few))
    listed[0].fsspec.retries = 1
    pipeline = make_pipeline(tmp_path, "broken")
    gone = dlt.resource(lambda: (yield listed), name="listed")
    with pytest.raises(PipelineStepFailed, match=r"s3://bucket/00\.jsonl"):
        pipeline.run(gone | ours.read_jsonl())
