"""The examples under examples/files."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples" / "files"


def test_events(tmp_path):
    command = [sys.executable, str(EXAMPLES / "events.py"), "incoming"]
    environment = {**os.environ, "DLT_DATA_DIR": str(tmp_path / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    for times in (1, 2):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "('events', 300), ('events__tags', 297), ('users', 10), ('users__roles', 15)" in done.stdout
        assert ("2024-05-01T01.jsonl, line 101, byte " in done.stdout) == (times == 1)
