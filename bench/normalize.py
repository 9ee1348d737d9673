"""`./dev bench normalize` and `decode`: the C stages alone over the records of the REST benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from records import pages

with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
    for body in pages(300, 100):
        file.write(json.dumps(json.loads(body)["items"], ensure_ascii=False, separators=(",", ":")) + "\n")
    file.flush()
    binary = Path(__file__).parent.parent / "build" / "bench" / "bench_stages"
    sys.exit(subprocess.run([str(binary), file.name]).returncode)
