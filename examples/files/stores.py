"""The files of formats.py from every kind of store: local, S3, HTTP, SFTP, WebDAV, FTP, GCS and Azure, each as dlt or fsspec configures it.

python examples/files/stores.py [FOLDER]

The stores are servers on this machine (requirements-servers.txt), over the folder with the files; one that is not installed is left
out. With stores of your own, `stores()` is what to look at: an URL and credentials are all that differs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import fsspec
from dlt.common.configuration.specs import AwsCredentials
from dlt.common.configuration.specs.sftp_credentials import SFTPCredentials
from formats import make_files
from headrace.sources.filesystem import filesystem, read_any, read_wav

sys.path.append(str(Path(__file__).parents[2] / "tests" / "servers"))
import programs

KEY, SECRET = "AKIDEXAMPLE12345", "sk123456secretsecret"
USER = ("--user", "u", "--pass", "p")


@contextmanager
def s3(folder: Path) -> Iterator[tuple[str, Any]]:
    """Buckets are the folders beside it."""
    with programs.rclone_s3(folder.parent, KEY, SECRET) as server:
        yield (
            f"s3://{folder.name}",
            AwsCredentials(
                aws_access_key_id=KEY, aws_secret_access_key=SECRET, endpoint_url=server.url, region_name="us-east-1"
            ),
        )


@contextmanager
def http(folder: Path) -> Iterator[tuple[str, Any]]:
    """A listing of links."""
    with programs.rclone("http", folder) as server:
        yield server.url, fsspec.filesystem("http")


@contextmanager
def sftp(folder: Path) -> Iterator[tuple[str, Any]]:
    """By password; keys go by `sftp_key_filename`."""
    with programs.rclone("sftp", folder, *USER) as server:
        yield (
            "sftp://127.0.0.1/",
            SFTPCredentials(
                sftp_port=server.port,
                sftp_username="u",
                sftp_password="p",
                sftp_look_for_keys=False,
                sftp_allow_agent=False,
            ),
        )


@contextmanager
def webdav(folder: Path) -> Iterator[tuple[str, Any]]:
    """What dlt does not know is given as a filesystem of fsspec."""
    with programs.rclone("webdav", folder, *USER) as server:
        yield "webdav:///", fsspec.filesystem("webdav", base_url=server.url, auth=("u", "p"))


@contextmanager
def ftp(folder: Path) -> Iterator[tuple[str, Any]]:
    """As WebDAV."""
    with programs.rclone("ftp", folder, *USER) as server:
        yield "ftp:///", fsspec.filesystem("ftp", host="127.0.0.1", port=server.port, username="u", password="p")


@contextmanager
def gcs(folder: Path) -> Iterator[tuple[str, Any]]:
    """An emulator that asks for no credentials; else dlt's `GcpServiceAccountCredentials`."""
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # a question by gRPC that emulators do not have
    with programs.gcs("bucket") as server:
        fs = fsspec.filesystem("gcs", token="anon", endpoint_url=server.url, project="p")
        for path in folder.iterdir():
            fs.pipe_file(f"bucket/{path.name}", path.read_bytes())
        yield "gs://bucket", fs


@contextmanager
def azure(folder: Path) -> Iterator[tuple[str, Any]]:
    """Azurite, by its connection string; of an account in the cloud dlt's `AzureCredentials`."""
    with tempfile.TemporaryDirectory() as place, programs.azurite(Path(place)) as server:
        fs = fsspec.filesystem("az", connection_string=programs.azurite_connection(server))
        fs.mkdir("container")
        for path in folder.iterdir():
            fs.pipe_file(f"container/{path.name}", path.read_bytes())
        yield "az://container", fs


def stores() -> dict[str, Any]:
    """The stores whose server and client are installed."""
    found: dict[str, Any] = {}
    if programs.program("rclone"):
        found = {"s3": s3, "http": http, "ftp": ftp}
        found.update({"sftp": sftp} if programs.has("paramiko") else {})
        found.update({"webdav": webdav} if programs.has("webdav4") else {})
    if programs.program("gcp-storage-emulator") and programs.has("gcsfs"):
        found["gcs"] = gcs
    if programs.program("azurite-blob") and programs.has("adlfs"):
        found["azure"] = azure
    return found


def load(pipeline: dlt.Pipeline, name: str, url: str, *credentials: Any) -> None:
    """Loads all files of a store: orders of every format into one table, sounds into another."""
    orders = filesystem(url, *credentials, file_glob="orders.[!t]*", fetch_file_info=True).with_name(f"files_{name}")
    sounds = filesystem(url, *credentials, file_glob="*.wav", fetch_file_info=True).with_name(f"wav_files_{name}")
    options = {"xml": {"record": "order", "lists": ["line"]}}
    readers = [(orders | read_any(options=options)).with_name(f"orders_{name}")]
    readers.append((sounds | read_wav()).with_name(f"sounds_{name}"))
    pipeline.run(readers, loader_file_format="parquet").raise_on_failed_jobs()


def main() -> None:
    """Makes the files, loads them from each store into DuckDB and prints how many rows came."""
    work = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    folder = work / "files"
    folder.mkdir(parents=True, exist_ok=True)
    make_files(folder)
    pipeline = dlt.pipeline(
        "stores",
        pipelines_dir=str(work / "pipelines"),
        destination=dlt.destinations.duckdb(str(work / "stores.duckdb")),
        dataset_name="data",
    )
    load(pipeline, "local", str(folder))
    for name, store in stores().items():
        with store(folder) as (url, credentials):
            load(pipeline, name, url, credentials)
    for name, n_rows in sorted(pipeline.dataset().row_counts().fetchall()):
        print(name, n_rows)


if __name__ == "__main__":
    main()
