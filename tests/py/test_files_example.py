"""The example of every format: what it prints is what is in its files."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "files" / "formats.py"


def test_every_format_is_loaded(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), str(tmp_path)], capture_output=True, text=True, env=os.environ, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = dict(
        line.split(" ") for line in done.stdout.splitlines() if len(line.split(" ")) == 2 and line[-1].isdigit()
    )
    for name in ("parquet", "orc", "avro", "jsonl", "json"):
        assert (rows[f"from_{name}"], rows[f"from_{name}__lines"]) == ("2", "3"), name
    assert (rows["from_xml"], rows["from_xml__line"]) == ("2", "3")
    assert (rows["from_excel"], rows["from_text"], rows["sounds"], rows["sounds__levels"]) == ("2", "2", "1", "1")
    assert rows["from_csv"] == "2"
    assert rows["from_any"] == "16"  # of all but the text
