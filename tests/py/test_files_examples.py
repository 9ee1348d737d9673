"""The examples under examples/files: what they print is what is in their files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "files"


def printed(name, *args, cwd, **environment):
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, args)]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=290
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_events(tmp_path):
    for times in (1, 2):
        found = printed(
            "events.py", "incoming", cwd=tmp_path, DLT_DATA_DIR=str(tmp_path / "dlt"), RUNTIME__DLTHUB_TELEMETRY="false"
        )
        assert "('events', 300), ('events__tags', 297), ('users', 10), ('users__roles', 15)" in found
        assert ("2024-05-01T01.jsonl, line 101, byte " in found) == (times == 1)


def test_every_format_is_loaded(tmp_path):
    found = printed("formats.py", tmp_path, cwd=tmp_path)
    rows = dict(line.split(" ") for line in found.splitlines() if len(line.split(" ")) == 2 and line[-1].isdigit())
    for name in ("parquet", "orc", "avro", "jsonl", "json"):
        assert (rows[f"from_{name}"], rows[f"from_{name}__lines"]) == ("2", "3"), name
    assert (rows["from_xml"], rows["from_xml__line"]) == ("2", "3")
    assert (rows["from_excel"], rows["from_text"], rows["sounds"], rows["sounds__levels"]) == ("2", "2", "1", "1")
    assert (rows["from_csv"], rows["from_packed"], rows["from_packed__lines"]) == ("2", "14", "21")
    assert rows["from_any"] == "16"  # of all but the text


@pytest.mark.timeout(300)
def test_every_format_comes_from_every_store(tmp_path):
    found = printed("stores.py", tmp_path, cwd=tmp_path)
    rows = dict(line.split(" ") for line in found.splitlines() if line.startswith(("orders_", "sounds_")))
    stores = {name.partition("_")[2] for name in rows if name.startswith("sounds_") and "__" not in name}
    assert stores >= {"local", "s3", "http", "ftp"}
    for store in stores:
        tables = {name.replace(f"_{store}", ""): n for name, n in rows.items() if f"_{store}" in name}
        expected = {"orders": "16", "orders__line": "3", "orders__lines": "15", "sounds": "1", "sounds__levels": "1"}
        assert tables == expected, store
