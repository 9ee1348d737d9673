"""The hash of a file's bytes as they are stored, for `only_new="hash"`. Reading and hashing release the GIL.

    as they are read     from the start on: of compressed files, of CSV, of what a remote store gives
    beside the reading   by a thread of its own: local files of which the engine's workers, or libraries, read here and there
    by a pass            a file that was loaded before and has another time or ETag now; one that is not read to its end

What is read here and there of a remote store goes to a temporary file first, hashed as it comes: all of it is needed anyway.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable
from typing import Any

_BLOCK_BYTES = 1 << 20
HASH_CHARACTERS = 10  # 60 bits: that a changed file is taken for the same has a chance of 1 in 10^18


def short_hash(what: bytes, n_characters: int) -> str:
    """Characters of base64 that stand for the bytes, of six bits each."""
    return _characters(hashlib.blake2b(what, digest_size=(n_characters * 6 + 7) // 8), n_characters)


def _characters(hashed: Any, n: int) -> str:
    return base64.b64encode(hashed.digest())[:n].decode()


class ContentHash:
    """The hash of a file, of the bytes that it is given, in order.

    Args:
        report: Gets the hash when the file was read to its end and had not changed.
    """

    def __init__(self, report: Callable[[str], Any]) -> None:
        self._report = report
        self._sum = hashlib.blake2b(digest_size=8)
        self._thread: threading.Thread | None = None
        self._is_stopped = False
        self._is_whole = True

    def add(self, data: Any) -> None:
        """The next bytes."""
        self._sum.update(data)

    def begin_aside(self, fd: int) -> None:
        """A thread reads the whole of the open file."""
        own = os.dup(fd)
        self._thread = threading.Thread(target=self._read, args=(own,), name="headrace-hash", daemon=True)
        self._thread.start()

    def _read(self, fd: int) -> None:
        try:
            self._add_from(fd, 0)
        except OSError:  # whoever reads the file meets it, too
            self._is_whole = False
        finally:
            os.close(fd)

    def _add_from(self, fd: int, at: int) -> None:
        block = memoryview(bytearray(_BLOCK_BYTES))
        while not self._is_stopped and (n := os.preadv(fd, [block], at)):
            self.add(block[:n])
            at += n

    def finish(self, fd: int = -1, at: int = 0) -> None:
        """The file is read, and is the one that was opened: reports the hash. `fd`: what of this file is from `at` on is
        hashed first, if no thread has read it.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        elif fd >= 0:
            self._add_from(fd, at)
        if self._is_whole and not self._is_stopped:
            self._report(_characters(self._sum, HASH_CHARACTERS))
        self._is_stopped = True

    def stop(self) -> None:
        """The hash is not wanted any more."""
        self._is_stopped = True


def hash_of(item: Any) -> ContentHash | None:
    """What takes the hash of a file that is about to be read; None: nobody remembers it."""
    begin = getattr(getattr(item, "tracker", None), "begin_hash", None)
    return begin(item) if begin is not None else None
