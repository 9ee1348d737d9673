r"""Inputs of the fuzzers as text: a line an input, with the escapes of tests/cases (\\, \n, \t, \xHH).

seeds.py unpack FOLDER FILE...    each line's input, as libFuzzer wants it: a file of its own (.tsv: a line's second field)
seeds.py pack INPUT...            the lines of these inputs: what the fuzzer found becomes a test by
                                  `python fuzz/seeds.py pack build/fuzz/crash-... >> tests/cases/fuzz/json.txt`
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path


def unescape(line: bytes) -> bytes:
    """The input of a line."""

    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code[1:], 16)]) if len(code) == 3 else {b"n": b"\n", b"t": b"\t"}.get(code, code)

    return re.sub(rb"\\(x[0-9a-f]{2}|.)", plain, line)


def escape(data: bytes) -> bytes:
    """The line of an input; what is UTF-8 stays readable."""
    text = data.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\t", b"\\t").decode("utf-8", "surrogateescape")
    return b"".join(
        c.encode() if c.isprintable() else b"".join(b"\\x%02x" % b for b in c.encode("utf-8", "surrogateescape"))
        for c in text
    )


def main(command: str, *paths: str) -> None:
    """Runs a command."""
    if command == "pack":
        for path in paths:
            sys.stdout.buffer.write(escape(Path(path).read_bytes()) + b"\n")
        return
    folder = Path(paths[0])
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths[1:]:
        for line in Path(path).read_bytes().splitlines():
            if line and not line.startswith(b"#"):
                data = unescape(line.split(b"\t")[1] if path.endswith(".tsv") else line)
                (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
