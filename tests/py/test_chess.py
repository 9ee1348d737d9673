"""The chess example, small: both sources against the replica, also when it refuses parallel requests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from oracle import run_both

EXAMPLE = Path(__file__).parents[2] / "examples" / "chess"
sys.path.insert(0, str(EXAMPLE))

from chess_config import chess_config


@pytest.mark.parametrize("mode", [[], ["--serial-only"]], ids=["parallel", "serial-only"])
def test_chess_example(tmp_path: Path, mode: list[str], monkeypatch: Any) -> None:
    command = [sys.executable, str(EXAMPLE / "replica.py"), "--latency=1", f"--cache={tmp_path / 'chess.json'}", *mode]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().split()[0])
        months = ["2021/01", "2021/02", "2022/12"]
        run_both(lambda: chess_config(f"http://127.0.0.1:{port}/pub", months=months), tmp_path)
    finally:
        server.kill()
        server.wait()
