"""WAV: `read_wav`. A row a file, its cue points, regions and loops as child tables; on request its samples.

Chunks are read here (riff.py), samples by libsndfile, in blocks: a file of hours takes no more memory than one of seconds.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from typing import IO, Any

import dlt
import pyarrow as pa

from headrace._files.arguments import check_arguments
from headrace._files.riff import Wave, read_wave
from headrace._files.skips import Position, current_resource
from headrace._files.tables import library, marked, read_tables, size_of
from headrace.config import setting

_BLOCK = 1 << 16  # frames that are decoded at once
_MAX_COLUMN = 512 << 20  # bytes of samples or of a file in one value
_TEXT = pa.string()
_CUE = pa.struct(
    [("id", pa.int64()), ("position", pa.int64()), ("frame", pa.int64()), ("label", _TEXT), ("note", _TEXT)]
)
_REGION = pa.struct(
    [
        ("cue_id", pa.int64()),
        ("frame", pa.int64()),
        ("length_frames", pa.int64()),
        ("purpose", _TEXT),
        ("text", _TEXT),
        ("label", _TEXT),
    ]
)
_LOOP = pa.struct(
    [
        ("id", pa.int64()),
        ("kind", _TEXT),
        ("start_frame", pa.int64()),
        ("end_frame", pa.int64()),
        ("fraction", pa.float64()),
        ("play_count", pa.int64()),
    ]
)
_LEVEL = pa.struct(
    [
        ("channel", pa.int64()),
        ("peak", pa.float64()),
        ("rms", pa.float64()),
        ("peak_dbfs", pa.float64()),
        ("rms_dbfs", pa.float64()),
    ]
)


def _read_wav(
    items: Iterable[Any], *, samples: str | None = None, levels: bool = True, on_error: str = "raise"
) -> Iterator[Any]:
    """Reads WAV files: RIFF, RIFX, RF64, BW64, WAVE_FORMAT_EXTENSIBLE; PCM of 8 to 32 bits, float, A-law, mu-law.

    Args:
        items: A page of files.
        samples: None: no samples; "column": a list column `samples` of float32, channel after channel in each frame; "frames":
            a table `<name>_frames` with a row a frame; "bytes": the file itself in a column `content`.
        levels: Whether peak and RMS of each channel are measured, which decodes all samples.
        on_error: `raise` or `skip_file` (`skip_row` is the same here): what happens with a file that is no WAV, or cut.
    """
    check_arguments("read_wav", {"samples": samples, "levels": levels})
    numpy = library("numpy", "read_wav", "audio")
    soundfile = library("soundfile", "read_wav", "audio")

    def read(file: IO[bytes], position: Position, item: Any) -> Iterator[Any]:
        yield from _File(file, position, item, numpy, soundfile).tables(samples, levels)

    yield from read_tables(items, "read_wav", on_error, read)


class _File:
    """One file on its way."""

    def __init__(self, file: IO[bytes], position: Position, item: Any, numpy: Any, soundfile: Any) -> None:
        self._file = file
        self._position = position
        self._item = item
        self._numpy = numpy
        self._soundfile = soundfile
        self._wave = read_wave(file)

    def tables(self, samples: str | None, levels: bool) -> Iterator[Any]:
        """The file's row, and its frames before it if they are asked for."""
        wave = self._wave
        row = _row(wave, self._item)
        if wave.data_missing:
            self._position.place = f"byte {wave.data_offset + wave.data_bytes}"
            told = wave.data_bytes + wave.data_missing
            raise ValueError(f"the file is cut: its samples have {wave.data_bytes} of {told} bytes")
        if samples == "bytes":
            self._check_size(size_of(self._file), "the file")
            row["content"] = self._file.read()
        if samples == "column":
            self._check_size(row["frames"] * row["channels"] * 4, "its samples")
            row["samples"] = []
        if levels or samples in ("column", "frames"):
            yield from self._decode(row, samples)
        yield pa.Table.from_pylist([row], _schema(row))

    def _check_size(self, n_bytes: int, what: str) -> None:
        if n_bytes > _MAX_COLUMN:
            raise ValueError(
                f'{what} would be a value of {n_bytes} bytes; the limit is {_MAX_COLUMN}: take samples="frames"'
            )

    def _decode(self, row: dict[str, Any], samples: str | None) -> Iterator[Any]:
        """Goes through the samples, block by block."""
        np = self._numpy
        file = _ForLibsndfile(self._file, self._wave)
        try:
            with self._soundfile.SoundFile(file) as sound:
                row["frames"] = sound.frames
                row["duration_s"] = sound.frames / sound.samplerate
                peak, energy, n_frames = np.zeros(sound.channels), np.zeros(sound.channels), 0
                blocks = []
                for block in sound.blocks(_BLOCK, dtype="float64", always_2d=True):
                    file.raise_failure()
                    self._position.move(f"frame {n_frames}", n_frames / sound.frames)
                    peak = np.maximum(peak, np.abs(block).max(axis=0, initial=0.0))
                    energy += np.square(block).sum(axis=0)
                    if samples == "column":
                        blocks.append(block.astype(np.float32).ravel())
                    elif samples == "frames":
                        yield from self._frames(block, n_frames)
                    n_frames += len(block)
        except self._soundfile.SoundFileError as error:
            file.raise_failure()
            raise ValueError(f"libsndfile cannot read it: {error}") from error
        file.raise_failure()
        if n_frames != row["frames"]:
            raise ValueError(f"the file is cut: it has {n_frames} of {row['frames']} frames")
        row["levels"] = _levels(np, peak, energy, n_frames)
        if samples == "column":
            row["samples"] = np.concatenate(blocks) if blocks else []

    def _frames(self, block: Any, first: int) -> Iterator[Any]:
        """A block as rows: the file, the frame's number, a column a channel."""
        name = str(self._item["file_name"])
        numbers = self._numpy.arange(first, first + len(block))
        columns: dict[str, Any] = {
            "file_name": pa.DictionaryArray.from_arrays(pa.nulls(len(block), pa.int8()).fill_null(0), [name]),
            "frame": pa.array(numbers, pa.int64()),
        }
        for channel in range(block.shape[1]):
            columns[f"channel_{channel}"] = pa.array(block[:, channel].astype(self._numpy.float32))
        table = pa.table(columns)
        n_rows = max(setting("batch_bytes") // max(table.nbytes // max(len(block), 1), 1), 1)
        for start in range(0, table.num_rows, n_rows):
            piece = marked(table.slice(start, n_rows), "keep")  # flat: no ids
            yield dlt.mark.with_table_name(piece, f"{current_resource('read_wav')}_frames")


class _ForLibsndfile(io.RawIOBase):
    """A file as libsndfile reads it: behind a head of ours, what follows the head of the file.

    BW64    `RF64`, the name that libsndfile knows, for four bytes: the chunks are the same (ITU-R BS.2088, 7)
    RIFX    the chunk `fmt ` and the samples: libsndfile takes cue points for little-endian ones, and loses its way

    An error of its store, which libsndfile would take for the file's end, is kept.
    """

    def __init__(self, file: IO[bytes], wave: Wave) -> None:
        self._file = file
        self._head = b""
        self._shift = 0  # from a byte here to the file's, behind the head
        self._size = size_of(file)
        if wave.container == "BW64":
            self._head = b"RF64"
        elif wave.container == "RIFX":
            chunks = struct.pack(">4s4sI", b"WAVE", b"fmt ", len(wave.format_chunk)) + wave.format_chunk
            chunks += bytes(len(wave.format_chunk) & 1) + struct.pack(">4sI", b"data", wave.data_bytes)
            self._head = struct.pack(">4sI", b"RIFX", min(len(chunks) + wave.data_bytes, 0xFFFFFFFF)) + chunks
            self._shift = wave.data_offset - len(self._head)
            self._size = len(self._head) + wave.data_bytes
        self._at = 0
        self._failure: Exception | None = None

    def raise_failure(self) -> None:
        """Raises what reading raised."""
        if self._failure is not None:
            raise self._failure

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file's."""
        self._at = max(offset + (0, self._at, self._size)[whence], 0)
        return self._at

    def tell(self) -> int:
        """As a file's."""
        return self._at

    def readinto(self, into: Any) -> int:
        """Reads."""
        n = max(min(len(into), self._size - self._at), 0)
        found = self._head[self._at : self._at + n]
        if len(found) < n:
            try:
                self._file.seek(self._at + len(found) + self._shift)
                found += self._file.read(n - len(found))
            except Exception as error:
                self._failure = self._failure or error
                return 0
        into[: len(found)] = found
        self._at += len(found)
        return len(found)


def _levels(np: Any, peak: Any, energy: Any, n_frames: int) -> list[dict[str, Any]]:
    rms = np.sqrt(energy / max(n_frames, 1))
    return [
        {"channel": i, "peak": float(p), "rms": float(r), "peak_dbfs": _dbfs(np, p), "rms_dbfs": _dbfs(np, r)}
        for i, (p, r) in enumerate(zip(peak, rms, strict=True))
    ]


def _dbfs(np: Any, value: float) -> float | None:
    """Decibels below full scale; None for silence."""
    return float(20 * np.log10(value)) if value > 0 else None


def _row(wave: Wave, item: Any) -> dict[str, Any]:
    fmt = wave.fmt
    per_frame = fmt["block_bytes"]
    frames = (
        wave.data_bytes // per_frame
        if per_frame and fmt["codec"] in ("pcm", "float", "alaw", "mulaw")
        else wave.n_samples
    )
    row: dict[str, Any] = {
        "file_name": item.get("file_name"),
        "file_url": item.get("file_url"),
        "size_in_bytes": item.get("size_in_bytes"),
        "modification_date": item.get("modification_date"),
        "container": wave.container,
        **fmt,
        "frames": frames or 0,
        "duration_s": (frames or 0) / fmt["sample_rate"],
        "data_bytes": wave.data_bytes,
        "tags": wave.tags or None,
        "bext": wave.bext,
        "ixml": wave.ixml,
        "instrument": wave.instrument,
        "cue_points": wave.cues,
        "regions": wave.regions,
        "loops": wave.loops,
    }
    return row


def _schema(row: dict[str, Any]) -> pa.Schema:
    """Types that do not depend on the file's values."""
    fixed: dict[str, pa.DataType] = {
        "file_name": _TEXT,
        "file_url": _TEXT,
        "size_in_bytes": pa.int64(),
        "modification_date": pa.timestamp("us", "UTC"),
        "container": _TEXT,
        "channels": pa.int64(),
        "sample_rate": pa.int64(),
        "bits": pa.int64(),
        "block_bytes": pa.int64(),
        "codec": _TEXT,
        "channel_mask": pa.int64(),
        "frames": pa.int64(),
        "duration_s": pa.float64(),
        "data_bytes": pa.int64(),
        "ixml": _TEXT,
        "cue_points": pa.list_(_CUE),
        "regions": pa.list_(_REGION),
        "loops": pa.list_(_LOOP),
        "levels": pa.list_(_LEVEL),
        "samples": pa.large_list(pa.float32()),
        "content": pa.large_binary(),
        "tags": pa.struct([(key, _TEXT) for key in row["tags"] or ()]),
        "instrument": pa.struct([("unity_note", pa.int64()), ("fine_tune_semitones", pa.float64())]),
        "bext": pa.struct([(key, _bext_type(key)) for key in row["bext"] or ()]),
    }
    return pa.schema([(key, fixed[key]) for key in row if key not in ("tags", "bext", "instrument") or row[key]])


def _bext_type(key: str) -> pa.DataType:
    if key in ("time_reference_frames", "version"):
        return pa.int64()
    return pa.float64() if "loudness" in key or "peak" in key else _TEXT
