"""Files of lines cut into pieces for the engine: big files at line ends, small files together in one piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from headrace.files.ahead import BLOCK_BYTES, Ahead, Open
from headrace.files.skips import Skips

_ENOUGH_BYTES = BLOCK_BYTES // 2
BOM = b"\xef\xbb\xbf"


class FileState:
    """One file that is being read.

    Attributes:
        item: The file.
        offset: Bytes of its content that went into pieces.
        lines: Lines of them.
        is_dropped: Whether the rest of it is left out.
    """

    def __init__(self, item: Any) -> None:
        self.item = item
        self.offset = 0
        self.lines = 0
        self.is_dropped = False


class Part(NamedTuple):
    """Lines of one file in a piece.

    Attributes:
        file: The file.
        start: Where in the piece they begin.
        offset: Where in the file's content they begin.
        line: Number of the first, from 0.
    """

    file: FileState
    start: int
    offset: int
    line: int


class Piece(NamedTuple):
    """Whole lines of a file or of several, each file's last with its end."""

    tag: int
    text: bytes | memoryview
    parts: tuple[Part, ...]
    skip: int = 0  # records at its start that are done

    def bounds(self, number: int) -> tuple[int, int]:
        """Where the part of this number begins and ends."""
        end = self.parts[number + 1].start if number + 1 < len(self.parts) else len(self.text)
        return self.parts[number].start, end

    def line_at(self, offset: int) -> tuple[Part, int, int]:
        """The line that holds the byte: its part, and from where to where it goes."""
        text = bytes(self.text)
        offset = min(offset, len(text) - 1)
        part = next(one for one in reversed(self.parts) if one.start <= offset)
        start = text.rfind(b"\n", 0, offset) + 1 if offset else 0
        end = text.find(b"\n", offset) + 1 or len(text)
        return part, max(start, part.start), end

    def record(self, index: int) -> tuple[Part, int, int]:
        """The line of the record of this number, which is not empty."""
        for start, _ in lines_of(bytes(self.text)):
            if index == 0:
                return self.line_at(start)
            index -= 1
        raise IndexError

    def place(self, part: Part, start: int) -> str:
        """Where in the file a line is that starts here."""
        number = part.line + bytes(self.text[part.start : start]).count(b"\n") + 1
        return f"line {number}, byte {part.offset + start - part.start}"


def lines_of(text: bytes, start: int = 0) -> Iterator[tuple[int, int]]:
    """Where the lines that are not empty begin and end, from `start` on."""
    while start < len(text):
        end = text.find(b"\n", start) + 1 or len(text)
        if not text[start:end].isspace():
            yield start, end
        start = end


class Pieces:
    """The lines of files in order."""

    def __init__(self, skips: Skips, max_line_bytes: int) -> None:
        self.n_files = 0
        self.stored_bytes = 0  # read of files that are done
        self._skips = skips
        self._max_line_bytes = max_line_bytes
        self._ahead = Ahead()
        self._file: FileState | None = None
        self._open: Open | None = None
        self._carry: list[bytes] = []  # the start of a line whose end was not seen yet
        self._carry_bytes = 0
        self._buffer = bytearray()
        self._parts: list[Part] = []
        self._tag = 0

    def add(self, items: Any) -> None:
        """Takes files, to come after those taken before."""
        self._ahead.add(items)

    @property
    def n_waiting(self) -> int:
        """Files that are not begun."""
        return len(self._ahead)

    @property
    def is_empty(self) -> bool:
        """Whether all that was added has been given out."""
        return self._file is None and not self._buffer and not len(self._ahead)

    @property
    def stored_position(self) -> int:
        """Stored bytes read so far, of all files."""
        return self.stored_bytes + (self._open.stored_position if self._open is not None else 0)

    def next(self) -> Piece | None:
        """The next piece; None: none yet, or that was all."""
        while True:
            if self._file is None:
                if not len(self._ahead):
                    return self._take() if self._buffer else None
                self._begin()
                continue
            if (block := self._block()) is None:
                return None
            if block:
                self._put(block)
            else:
                self._end()
            if len(self._buffer) >= _ENOUGH_BYTES:
                return self._take()

    def _begin(self) -> None:
        item, opener = self._ahead.next()
        self._file = FileState(item)
        self.n_files += 1
        try:
            self._open = opener()
        except Exception as ex:
            self._bad(ex)

    def _block(self) -> bytes | None:
        assert self._file is not None
        if self._file.is_dropped or self._open is None:
            return b""
        try:
            return self._open.block()
        except Exception as ex:
            self._bad(ex)
            return b""

    def _bad(self, error: Exception) -> None:
        """The file cannot be read on: the lines that are complete stay."""
        file = self._file
        assert file is not None
        self._carry.clear()
        self._carry_bytes = 0
        place = f"after line {file.lines}, byte {file.offset}" if file.offset else ""
        self._skips.file(file.item, error, place, file.lines)
        file.is_dropped = True

    def _put(self, block: bytes) -> None:
        cut = block.rfind(b"\n") + 1
        if cut:
            self._lines(b"".join((*self._carry, block[:cut])) if self._carry else block[:cut])
            self._carry = [block[cut:]] if cut < len(block) else []
            self._carry_bytes = len(block) - cut
            return
        self._carry.append(block)
        self._carry_bytes += len(block)
        if self._carry_bytes > self._max_line_bytes:
            self._bad(ValueError(f"a line is longer than max_body_bytes, {self._max_line_bytes} bytes"))

    def _lines(self, text: bytes) -> None:
        file = self._file
        assert file is not None
        if file.offset == 0 and text.startswith(BOM):
            text = text[len(BOM) :]
            file.offset = len(BOM)
        if not self._parts or self._parts[-1].file is not file:
            self._parts.append(Part(file, len(self._buffer), file.offset, file.lines))
        self._buffer += text
        file.offset += len(text)
        file.lines += text.count(b"\n")

    def _end(self) -> None:
        assert self._file is not None
        if self._carry:
            text = b"".join(self._carry)
            self._carry.clear()
            self._carry_bytes = 0
            self._lines(text + b"\n")
        if self._open is not None:
            self.stored_bytes += self._open.stored_position
            self._ahead.done(self._open)
        self._open = self._file = None

    def _take(self) -> Piece:
        piece = Piece(self._tag, bytes(self._buffer), tuple(self._parts))
        self._tag += 1
        self._buffer = bytearray()
        self._parts = []
        return piece

    def close(self) -> None:
        """Ends what is under way."""
        if self._open is not None:
            self._open.close()
        self._ahead.close()
