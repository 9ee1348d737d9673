"""Files of real stores: S3 that checks signatures, HTTP, SFTP, ...: the same tables as from the folder behind them."""

import getpass
import gzip
import json
import os
import random
import tempfile
import threading
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import dlt
import fastavro
import fsspec
import headrace.sources.filesystem as ours
import openpyxl
import programs
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
import soundfile
from dlt.common.configuration.specs import AwsCredentials
from dlt.common.configuration.specs.sftp_credentials import SFTPCredentials
from dlt.common.storages.fsspec_filesystem import FileItemDict
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace._files import stores
from headrace._files.ahead import Ahead
from headrace._files.opened import open_file, open_seekable
from headrace._files.remote_requests import Ended
from headrace._files.skips import FileChanged
from headrace.exceptions import ResourceFailedTransient
from oracle import assert_equal, make_pipeline, read_tables

os.environ.setdefault(
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false"
)  # gcsfs would ask by gRPC, which the emulator has not
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


def make_formats(folder, n_rows=20_000):
    """A file of each format that is read from more than one place, of several ranges of 64 KiB each."""
    rng = random.Random(7)
    rows = [
        {"id": i, "value": rng.random(), "tags": [rng.randrange(10**9) for _ in range(i % 4)]} for i in range(n_rows)
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, folder / "a.parquet", row_group_size=5000)
    orc.write_table(table, folder / "a.orc", stripe_size=1 << 16)
    array = {"type": "array", "items": "long"}
    fields = [{"name": "id", "type": "long"}, {"name": "value", "type": "double"}, {"name": "tags", "type": array}]
    with (folder / "a.avro").open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "row", "fields": fields}, rows)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("rows")
    for row in [("id", "value"), *((row["id"], row["value"]) for row in rows)]:
        sheet.append(row)
    book.save(folder / "a.xlsx")
    soundfile.write(folder / "a.wav", [rng.random() for _ in range(200_000)], 8000)


@pytest.fixture(scope="module")
def formats(folder):
    found = folder.parent / "formats"
    found.mkdir()
    make_formats(found)
    return found


@pytest.fixture(scope="module")
def s3(folder, formats):
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


@contextmanager
def http_store(folder):
    with programs.rclone("http", folder) as server:
        yield server.url, {}


@contextmanager
def ftp_store(folder):
    with programs.rclone("ftp", folder, "--user", "u", "--pass", "p") as server:
        yield "ftp:///", {"credentials": fsspec.filesystem("ftp", **PLACE, port=server.port)}


@contextmanager
def sftp_store(folder):
    pytest.importorskip("paramiko")
    with programs.rclone("sftp", folder, "--user", "u", "--pass", "p") as server:
        yield "sftp://127.0.0.1/", {"credentials": sftp_credentials(server.port)}


def sftp_credentials(port):
    """As dlt configures fsspec's SFTP."""
    given = {"sftp_username": "u", "sftp_password": "p", "sftp_look_for_keys": False, "sftp_allow_agent": False}
    return SFTPCredentials(sftp_port=port, **given)


@contextmanager
def webdav_store(folder):
    pytest.importorskip("webdav4")
    with programs.rclone("webdav", folder, "--user", "u", "--pass", "p") as server:
        yield "webdav:///", {"credentials": fsspec.filesystem("webdav", base_url=server.url, auth=("u", "p"))}


@contextmanager
def gcs_store(folder):
    pytest.importorskip("gcsfs")
    pytest.importorskip("gcp_storage_emulator")
    with programs.gcs("bucket") as server:
        fs = fsspec.filesystem("gcs", token="anon", endpoint_url=server.url, project="p", skip_instance_cache=True)
        for path in folder.iterdir():
            fs.pipe_file(f"bucket/{path.name}", path.read_bytes())
        yield "gs://bucket", {"credentials": fs}


@contextmanager
def azure_store(folder):
    pytest.importorskip("adlfs")
    if programs.program("azurite-blob") is None:
        pytest.skip("no Azurite here: it comes with npm")
    with tempfile.TemporaryDirectory() as place, programs.azurite(Path(place)) as server:
        connection = programs.azurite_connection(server)
        fs = fsspec.filesystem("az", connection_string=connection, skip_instance_cache=True)
        fs.mkdir("bucket")
        for path in folder.iterdir():
            fs.pipe_file(f"bucket/{path.name}", path.read_bytes())
        yield "az://bucket", {"credentials": fs}


@contextmanager
def nginx_store(folder):
    if programs.program("nginx") is None:
        pytest.skip("no nginx here; rclone serves HTTP in its place")
    with tempfile.TemporaryDirectory() as place:
        listing = f"root {folder}; autoindex on; default_type application/octet-stream;"
        as_user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        with programs.nginx(Path(place), listing, main=as_user) as server:
            yield server.url, {}


@contextmanager
def sshd_store(folder):
    pytest.importorskip("paramiko")
    if programs.program("sshd") is None:
        pytest.skip("no sshd here; rclone serves SFTP in its place")
    with tempfile.TemporaryDirectory() as place, programs.sshd(Path(place)) as server:
        given = {"sftp_username": getpass.getuser(), "sftp_key_filename": f"{place}/key"}
        more = {"sftp_look_for_keys": False, "sftp_allow_agent": False}
        yield f"sftp://127.0.0.1{folder}", {"credentials": SFTPCredentials(sftp_port=server.port, **given, **more)}


PLACE = {"host": "127.0.0.1", "username": "u", "password": "p", "skip_instance_cache": True}
STORES = {
    "http": http_store,
    "ftp": ftp_store,
    "sftp": sftp_store,
    "webdav": webdav_store,
    "gcs": gcs_store,
    "azure": azure_store,
}
STORES |= {"nginx": nginx_store, "sshd": sshd_store}


@pytest.mark.parametrize("kind", STORES)
def test_a_store_gives_the_tables_of_the_folder(tmp_path, folder, kind):
    with STORES[kind](folder) as (url, options):
        listed = ours.filesystem(url, **options, file_glob="*.jsonl", fetch_file_info=True)
        remote = load(tmp_path, "remote", listed)
    assert_equal(load(tmp_path, "local", ours.filesystem(str(folder), file_glob="*.jsonl")), remote)


@pytest.mark.parametrize("kind", STORES)
def test_a_store_gives_a_format_of_ranges(formats, small_ranges, monkeypatch, kind):
    local = rows_of(ours.filesystem(str(formats), file_glob="*.parquet"), "parquet")
    ranges = asked(monkeypatch)
    with STORES[kind](formats) as (url, options):
        (item,) = ours.filesystem(url, **options, file_glob="*.parquet", fetch_file_info=True)
        assert item["size_in_bytes"] == (formats / "a.parquet").stat().st_size
        assert rows_of(dlt.resource([[item]], name="listed"), "parquet").equals(local)
        with open_file(item) as file:
            assert file.read() == (formats / "a.parquet").read_bytes()
            file.check_unchanged()
    assert bool(ranges) == (kind != "ftp")  # a stream


@pytest.mark.parametrize("kind", [kind for kind in STORES if kind not in ("gcs", "azure")])
def test_a_file_of_a_store_that_changes_is_told(tmp_path, small_ranges, kind):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a line of text\n" * 40_000)
    size = path.stat().st_size
    uncached = ["--dir-cache-time", "0s"] if kind != "http" else []
    real = programs.rclone
    with (
        mock.patch.object(programs, "rclone", lambda what, where, *more: real(what, where, *more, *uncached)),
        STORES[kind](tmp_path) as (url, options),
    ):
        (item,) = ours.filesystem(url, **options, file_glob="*.txt", fetch_file_info=True)
        with open_file(item) as file:
            file.read(10)
            path.write_bytes(b"another text\n" * 50_000)
            with pytest.raises(FileChanged, match=rf"a\.txt changed while it was read: {size} bytes"):
                file.read()
                file.check_unchanged()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of paramiko's destructors
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # and its threads
def test_sftp_goes_on_where_a_connection_broke_off(tmp_path, small_ranges):
    pytest.importorskip("paramiko")
    content = b"a line of text\n" * 40_000
    (tmp_path / "a.txt").write_bytes(content)
    account = ["--user", "u", "--pass", "p"]
    with programs.rclone("sftp", tmp_path, *account) as first:
        credentials = sftp_credentials(first.port)
        (item,) = ours.filesystem("sftp://127.0.0.1/", credentials, file_glob="*.txt")
        file = open_file(item, 1000)
        begun = file.read(100)
    with programs.rclone("sftp", tmp_path, *account, port=first.port), file:
        assert begun + file.read() == content


class Whole(BaseHTTPRequestHandler):
    """Gives a file whole, whatever range is asked for; no size, packed, on request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        content, headers = self.server.content, {}
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            content, headers = gzip.compress(content), {"Content-Encoding": "gzip"}
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("kind", ["parquet", "wav"])
def test_a_server_without_ranges_gives_a_file_whole(formats, small_ranges, kind):
    content = (formats / f"a.{kind}").read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), Whole) as server:
        server.content = content
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.{kind}"
        for size in (None, len(content)):
            item = {"file_name": f"a.{kind}", "file_url": url, "relative_path": f"a.{kind}"}
            item = FileItemDict(item if size is None else {**item, "size_in_bytes": size}, fsspec.filesystem("http"))
            with open_file(item) as file:
                assert file.read() == content
            with open_seekable(item) as file:
                file.seek(size_at := len(content) - 100)
                assert file.read() == content[size_at:]
        server.shutdown()


def test_a_store_that_breaks_off(tmp_path, folder):
    few = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1}}
    with programs.rclone_s3(folder.parent, KEY, SECRET) as server:
        listed = list(ours.filesystem("s3://bucket", credentials(server.url), file_glob="0*.jsonl", kwargs=few))
    listed[0].fsspec.retries = 1
    pipeline = make_pipeline(tmp_path, "broken")
    gone = dlt.resource(lambda: (yield listed), name="listed")
    with pytest.raises(PipelineStepFailed, match=r"s3://bucket/00\.jsonl"):
        pipeline.run(gone | ours.read_jsonl())


READERS = {
    "parquet": ours.read_parquet,
    "orc": ours.read_orc,
    "avro": ours.read_avro,
    "xlsx": ours.read_excel,
    "wav": lambda: ours.read_wav(samples="column"),
}


@pytest.fixture
def small_ranges(monkeypatch):
    monkeypatch.setattr(stores, "RANGE_BYTES", 1 << 16)
    monkeypatch.setattr(stores, "_FIRST_BYTES", 1 << 14)
    monkeypatch.setattr(stores, "_KEPT_BYTES", 1 << 17)


def asked(monkeypatch):
    """Ranges that stores are asked for, from now on."""
    found = []
    real = stores.RemoteBytes._asked

    def note(self, start, end):
        found.append((start, end))
        return real(self, start, end)

    monkeypatch.setattr(stores.RemoteBytes, "_asked", note)
    return found


def rows_of(listing, kind, columns=("file_url", "modification_date")):
    """The rows that a reader gives, without what tells where the file is."""
    found = [table for table in listing | READERS[kind]() if isinstance(table, pa.Table)]
    table = pa.concat_tables(found, promote_options="default")
    return table.drop_columns([name for name in columns if name in table.column_names])


@pytest.mark.parametrize("kind", READERS)
def test_formats_that_are_read_here_and_there_come_in_ranges(formats, s3, small_ranges, monkeypatch, kind):
    local = rows_of(ours.filesystem(str(formats), file_glob=f"*.{kind}"), kind)
    ranges = asked(monkeypatch)
    remote = rows_of(ours.filesystem("s3://formats", credentials(s3), file_glob=f"*.{kind}"), kind)
    assert remote.equals(local)
    size = (formats / f"a.{kind}").stat().st_size
    assert size > 4 << 16 and len(ranges) >= size >> 16
    assert max(end - start for start, end in ranges) <= 1 << 16
    assert sum(end - start for start, end in ranges) < size * 1.2 + (1 << 18)  # little is asked for twice


def test_only_the_columns_that_are_wanted_are_fetched(formats, s3, small_ranges, monkeypatch):
    ranges = asked(monkeypatch)
    listing = ours.filesystem("s3://formats", credentials(s3), file_glob="*.parquet")
    (found, *_) = listing | ours.read_parquet(columns=["id"], chunksize=1 << 20)
    assert found.column_names == ["id"]
    metadata = pq.read_metadata(formats / "a.parquet")
    wanted = sum(metadata.row_group(i).column(0).total_compressed_size for i in range(metadata.num_row_groups))
    assert sum(end - start for start, end in ranges) < wanted + (
        3 << 16
    )  # its start, its end and the footer, by 64 KiB


def test_answers_of_s3_tell_the_version(formats, s3, small_ranges, monkeypatch):
    (item,) = ours.filesystem("s3://formats", credentials(s3), file_glob="*.wav")
    versions = []
    real = stores._version
    monkeypatch.setattr(stores, "_version", lambda item: versions.append(1) or real(item))
    ranges = asked(monkeypatch)
    with open_file(item) as file:
        assert file.read() == (formats / "a.wav").read_bytes()
        file.check_unchanged()
    assert len(ranges) > 4 and len(versions) == 1  # at the opening


def test_ranges_of_all_files_are_bounded(formats, s3, monkeypatch):
    monkeypatch.setattr(stores, "RANGE_BYTES", size := 1 << 14)
    monkeypatch.setattr(stores, "_room", room := stores._Room(6 * size))
    listing = list(ours.filesystem("s3://formats", credentials(s3), file_glob="*.wav"))
    assert listing[0]["size_in_bytes"] > 20 * size
    ranges = asked(monkeypatch)
    files, ahead = [], []
    for _ in range(3):
        files.append(stores.stored_bytes(listing[0]))
        files[-1].readinto(bytearray(10))
        ahead.append([one for one in files[-1]._pieces if not one.is_read])
    # the range at work, and ahead of it as many as any file has, and more as long as there is room
    assert [len(one) for one in ahead] == [8, 6, 4] and not room.take(1)
    contents = [b"".join(iter(lambda file=file: file_read(file), b"")) for file in files]
    assert contents == [(formats / "a.wav").read_bytes()[10:]] * 3
    assert room.take(6 * size)
    room.give_back(6 * size)
    again = stores.stored_bytes(listing[0])
    again.readinto(bytearray(10))
    again.close()  # gives back what it had
    assert room.take(6 * size) and max(end - start for start, end in ranges) <= size
    for file in files:
        file.close()


def file_read(file):
    found = bytearray(100_000)
    return bytes(found[: file.readinto(found)])


@pytest.mark.parametrize("kind", READERS)
def test_a_file_replaced_between_two_ranges_is_told(formats, s3, small_ranges, monkeypatch, kind):
    store = fsspec.filesystem("s3", **credentials(s3).to_s3fs_credentials(), skip_instance_cache=True)
    content = (formats / f"a.{kind}").read_bytes()
    name = f"replaced.{kind}"
    store.pipe_file(f"bucket/{name}", content)
    listing = list(ours.filesystem("s3://bucket", credentials(s3), file_glob=name))
    real, n_asked, lock = stores.RemoteBytes._asked, [], threading.Lock()

    def replace(self, start, end):
        with lock:
            n_asked.append(start)
            if len(n_asked) == 4:  # of the same size, with other bytes
                store.pipe_file(f"bucket/{name}", bytes(byte ^ 1 for byte in content))
        return real(self, start, end)

    monkeypatch.setattr(stores.RemoteBytes, "_asked", replace)
    with pytest.raises(Exception, match=rf"s3://bucket/{name}.* changed while it was read: {len(content)} bytes"):
        list(dlt.resource([listing], name="l") | READERS[kind]())
    assert len(n_asked) >= 4


def test_a_local_file_replaced_while_it_is_read_is_told(formats, tmp_path):
    (tmp_path / "a.parquet").write_bytes((formats / "a.parquet").read_bytes())
    rows = iter(ours.filesystem(str(tmp_path), file_glob="a.parquet") | ours.read_parquet(chunksize=100))
    next(rows)
    (tmp_path / "b.parquet").write_bytes(b"another")
    (tmp_path / "b.parquet").replace(tmp_path / "a.parquet")
    with pytest.raises(Exception, match=r"a\.parquet.* changed while it was read"):
        list(rows)


def gone_s3(port):
    few = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1}}
    return {"bucket_url": "s3://bucket", "credentials": credentials(f"http://127.0.0.1:{port}"), "kwargs": few}


def gone_sftp(port):
    pytest.importorskip("paramiko")
    return {"bucket_url": "sftp://127.0.0.1/", "credentials": sftp_credentials(port)}


def gone_webdav(port):
    pytest.importorskip("webdav4")
    fs = fsspec.filesystem("webdav", base_url=f"http://u:secretpw@127.0.0.1:{port}/", auth=("u", "secretpw"))
    return {"bucket_url": "webdav:///", "credentials": fs}


def gone_gcs(port):
    gcsfs = pytest.importorskip("gcsfs")
    fs = fsspec.filesystem(
        "gcs", token="anon", endpoint_url=f"http://127.0.0.1:{port}", project="p", skip_instance_cache=True
    )
    assert isinstance(fs, gcsfs.GCSFileSystem)
    fs._request = gcsfs.GCSFileSystem._request.__wrapped__.__get__(fs)  # one attempt: its six take half a minute
    return {"bucket_url": "gs://bucket", "credentials": fs}


def gone_ftp(port):
    with programs.rclone("ftp", Path(__file__).parent, "--user", "u", "--pass", "p", port=port) as server:
        fs = fsspec.filesystem("ftp", **PLACE, port=server.port)
    return {"bucket_url": "ftp:///", "credentials": fs}


def test_azure_refuses_a_wrong_key_and_tells_a_replaced_file(tmp_path, formats, small_ranges):
    with azure_store(formats) as (url, options):
        (item,) = ours.filesystem(url, **options, file_glob="*.wav")
        content = (formats / "a.wav").read_bytes()
        with open_file(item) as file:
            file.read(10)
            options["credentials"].pipe_file("bucket/a.wav", bytes(byte ^ 1 for byte in content))
            with pytest.raises(
                FileChanged, match=rf"az://bucket/a\.wav changed while it was read: {len(content)} bytes"
            ):
                file.read()
        pipeline = make_pipeline(tmp_path, "etags")
        for _ in range(2):
            listing = ours.filesystem(url, **options, file_glob="*.parquet", only_new="etag")
            pipeline.run((listing | ours.read_parquet()).with_name("t"), loader_file_format="parquet")
        assert len(read_tables(pipeline)["t"]) == pq.read_metadata(formats / "a.parquet").num_rows
        wrong = programs.AZURITE_KEY[::-1].strip("=") + "=="
        connection = options["credentials"].connection_string.replace(programs.AZURITE_KEY, wrong)
        refused = fsspec.filesystem("az", connection_string=connection, skip_instance_cache=True)
        with pytest.raises(Exception, match=r"az://bucket: the store refuses to be listed") as raised:
            list(ours.filesystem(url, refused, file_glob="*"))
        assert wrong not in str(raised.value)


GONE = {
    "s3": gone_s3,
    "http": lambda port: {"bucket_url": f"http://u:secretpw@127.0.0.1:{port}/x?token=secretpw"},
    "sftp": gone_sftp,
    "webdav": gone_webdav,
    "gcs": gone_gcs,
    "ftp": gone_ftp,
}


@pytest.mark.parametrize("kind", GONE)
def test_a_store_that_refuses_connections_is_told_with_its_url(tmp_path, kind):
    """Listed, in a pipeline: dlt's retries take it for transient."""
    port = programs.free_port()
    given = GONE[kind](port)
    with pytest.raises(PipelineStepFailed) as failed:
        load(tmp_path, "gone", ours.filesystem(**given))
    raised = failed.value
    while not isinstance(raised, ResourceFailedTransient):
        raised = raised.__cause__
    text = str(raised)
    url = "http://127.0.0.1" if kind == "http" else given["bucket_url"].rstrip("/")
    assert text.startswith(f"list: resource `filesystem`, {url}") and "the store cannot be reached: " in text, text
    assert str(port) in text and text.endswith("and run again.") and "secretpw" not in str(failed.value)
    assert raised.__cause__ is not None


def test_a_store_that_refuses_to_be_listed_is_told_with_its_url(tmp_path, s3):
    listing = ours.filesystem("s3://bucket", credentials(s3, "another-secret-secret"))
    with pytest.raises(
        PipelineStepFailed, match=r"s3://bucket at http://127.*: the store refuses to be listed: .*cred"
    ):
        load(tmp_path, "refused", listing)


class Hanging(BaseHTTPRequestHandler):
    """Answers ranges that begin before `hangs_at`; a later one gets no answer, and it is noted when its connection ends."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, size = self.server, 1 << 20
        start, end = 0, size - 1
        if told := self.headers.get("Range"):
            start, end = (int(one) for one in told.removeprefix("bytes=").split("-"))
        if self.command == "GET" and start >= server.hangs_at:
            server.hangs.set()
            with suppress(OSError):
                self.connection.recv(1)  # b"": the client has closed it
            server.ended.release()
            self.close_connection = True
            return
        self.send_response(206 if told else 200)
        self.send_header("Content-Length", str(min(end, size - 1) - start + 1))
        if told:
            self.send_header("Content-Range", f"bytes {start}-{min(end, size - 1)}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(bytes(min(end, size - 1) - start + 1))

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def hanging():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hanging) as server:
        server.daemon_threads = True
        server.hangs, server.ended = threading.Event(), threading.Semaphore(0)
        server.url = f"http://127.0.0.1:{server.server_port}/a.bin"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def hanging_item(server, size=1 << 20):
    fs = fsspec.filesystem("http", skip_instance_cache=True)
    return FileItemDict(
        {"file_name": "a.bin", "file_url": server.url, "relative_path": "a.bin", "size_in_bytes": size}, fs
    )


def test_ranges_at_work_are_broken_off_when_a_file_is_closed(hanging, small_ranges):
    """The client itself would wait for five minutes."""
    hanging.hangs_at = 1 << 16
    file = stores.RemoteBytes(hanging_item(hanging))
    assert file.readinto(bytearray(100)) == 100
    assert hanging.hangs.wait(60)
    at_work = [piece for piece in file._pieces if not piece.found.done()]
    assert at_work
    file.close()
    assert hanging.ended.acquire(timeout=60)
    for piece in at_work:  # of which some were not sent yet
        with pytest.raises((Ended, CancelledError)):
            piece.found.result(60)


@pytest.mark.parametrize("size", [1 << 20, 1 << 10])
def test_a_file_read_ahead_is_broken_off_when_it_is_not_wanted(hanging, small_ranges, size):
    hanging.hangs_at = 0
    ahead = Ahead(1 << 20, has_ranges=False)
    ahead.add([hanging_item(hanging, size)])
    assert hanging.hangs.wait(60)
    ahead.close()  # waits for its threads
    assert hanging.ended.acquire(timeout=60)


def test_a_waiting_reader_is_told_that_its_file_is_not_wanted(hanging, small_ranges):
    hanging.hangs_at = 1 << 16
    file = stores.RemoteBytes(hanging_item(hanging))
    file.readinto(bytearray(1 << 16))
    raised = []

    def wait():
        try:
            file.readinto(bytearray(100))
        except Ended as error:
            raised.append(error)

    waits = threading.Thread(target=wait)
    waits.start()
    assert hanging.hangs.wait(60)
    file.abort()
    waits.join(60)
    assert len(raised) == 1
    file.close()
