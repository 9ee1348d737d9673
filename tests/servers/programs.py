"""Servers that nobody here wrote, as programs on loopback: started, awaited by what they say or answer, ended by their own id."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

_PATIENCE_S = 60  # a loaded machine starts them slowly


def has(*modules: str) -> bool:
    """Whether these packages are installed (requirements-servers.txt)."""
    return all(importlib.util.find_spec(name) is not None for name in modules)


def program(name: str) -> str | None:
    """A program of the virtual environment or of the system; None: there is none."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(folders))


def free_port() -> int:
    """A port of loopback that nobody listens on now: for programs that cannot choose one and say which."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Program:
    """A running program; a context manager that ends it.

    Args:
        command: The program and its arguments.
        says: What it prints once it listens; a group of the pattern is its port.
        port: The port that it was told, where it prints none: awaited by connecting.
        environment: Variables beside those of this process.
    """

    def __init__(
        self, command: list[str], says: str | None = None, port: int = 0, environment: dict[str, str] | None = None
    ) -> None:
        self.port = port
        self.lines: list[str] = []
        self._listens = threading.Event()
        self._says = re.compile(says) if says else None
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if self._says is not None and (found := self._says.search(line)):
                self.port = self.port or int(found[1])
                self._listens.set()
        self._listens.set()  # it has ended

    def __enter__(self) -> Program:
        ends_at = time.monotonic() + _PATIENCE_S
        try:
            if self._says is not None:
                self._listens.wait(_PATIENCE_S)
            while not self._answers():
                if self._process.poll() is not None or time.monotonic() > ends_at:
                    raise RuntimeError(f"{self._process.args} does not listen: {''.join(self.lines[-20:])}")
                self._listens.wait(0.02)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _answers(self) -> bool:
        if not self.port:
            return False
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def httpbin() -> Program:
    """Kenneth Reitz's httpbin under gunicorn."""
    return Program(
        [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", "-k", "gthread", "--threads", "8", "httpbin:app"],
        says=r"Listening at: http://127\.0\.0\.1:(\d+)",
    )


def datasette(database: Path) -> Program:
    """Datasette: an API over the tables of a SQLite file."""
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--setting", "max_csv_mb", "0"]
    return Program([sys.executable, "-m", "datasette", str(database), *where], port=port)


OIDC = Path(sys.prefix) / "oidc"  # where `./dev test` puts requirements-oidc.txt


def oidc() -> Program:
    """oidc-provider-mock, an OAuth2 server over Authlib."""
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port)]
    path = {"PYTHONPATH": str(OIDC), "AUTHLIB_INSECURE_TRANSPORT": "1"}
    return Program([sys.executable, "-m", "oidc_provider_mock", *where], port=port, environment=path)


def rotation() -> Program:
    """rotation.py: Authlib's server with refresh tokens that are good for one time."""
    path = {"PYTHONPATH": str(OIDC), "AUTHLIB_INSECURE_TRANSPORT": "1"}
    return Program([sys.executable, str(Path(__file__).parent / "rotation.py")], r"listens on (\d+)", environment=path)


def proxy_py(user: str, password: str) -> Program:
    """proxy.py, which lets through who has the password."""
    port = free_port()
    where = ["--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1", "--num-acceptors", "1"]
    return Program([sys.executable, "-m", "proxy", *where, "--basic-auth", f"{user}:{password}"], port=port)


def rclone(kind: str, folder: Path, *options: str, port: int = 0) -> Program:
    """rclone's server of a kind (http, ftp, ...) over a folder."""
    port = port or free_port()
    where = ["--config", os.devnull, "--addr", f"127.0.0.1:{port}"]
    return Program([str(program("rclone")), "serve", kind, *where, *options, str(folder)], port=port)


def rclone_s3(folder: Path, key: str, secret: str) -> Program:
    """rclone's S3 server over a folder, whose folders are buckets; it checks signatures."""
    return rclone("s3", folder, "--auth-key", f"{key},{secret}")


def sshd(folder: Path) -> Program:
    """OpenSSH's server with SFTP, for who has the key `folder/key`; runs as who runs the tests."""
    for name in ("host_key", "key"):
        command = [str(program("ssh-keygen")), "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (folder / "authorized_keys").write_text((folder / "key.pub").read_text())
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host_key\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
    )
    return Program([str(program("sshd")), "-D", "-e", "-f", f"{folder}/sshd_config"], port=port)


def gcs(bucket: str) -> Program:
    """gcp-storage-emulator, with a bucket in memory. Checks no credentials."""
    port = free_port()
    where = ["--host=127.0.0.1", f"--port={port}", "--in-memory", f"--default-bucket={bucket}"]
    return Program([str(program("gcp-storage-emulator")), "start", *where], port=port)


AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # that it documents
)


def azurite(folder: Path) -> Program:
    """Azurite's blob service, which keeps what it has in a folder; it checks the signatures of its account's key."""
    where = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(folder)]
    more = ["--skipApiVersionCheck", "--disableTelemetry"]
    return Program(
        [str(program("azurite-blob")), *where, *more], says=r"successfully listens on http://127\.0\.0\.1:(\d+)"
    )


def azurite_connection(server: Program, key: str = AZURITE_KEY) -> str:
    """How a client finds it."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={AZURITE_ACCOUNT};AccountKey={key};"
        f"BlobEndpoint={server.url}/{AZURITE_ACCOUNT};"
    )


def nginx(folder: Path, server: str, http: str = "", main: str = "") -> Program:
    """nginx with these directives in `server`, in `http` and around them; its access log is `access.log` of the folder."""
    port = free_port()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {folder}/tmp_{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; {main} pid {folder}/pid; error_log {folder}/error.log; events {{ worker_connections 256; }}\n"
        f"http {{ {paths} log_format brief '$msec $status $uri'; access_log {folder}/access.log brief;\n"
        f"default_type application/json; keepalive_requests 100000; {http}\n"
        f"server {{ listen 127.0.0.1:{port}; {server} }} }}\n"
    )
    return Program(
        [str(program("nginx")), "-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"], port=port
    )
