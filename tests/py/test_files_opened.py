"""Files as readers read them: stores, compression told by content, cut and corrupt ones, changed while read."""

import bz2
import gzip
import hashlib
import lzma
import os
import threading
import tracemalloc
import zlib

import fsspec
import pyarrow as pa
import pytest
from headrace._files import compression
from headrace._files.opened import open_file, open_seekable
from headrace._files.skips import FileChanged, Skips
from headrace.sources.filesystem import FileItemDict, glob_files

TEXT = b"".join(b'{"id": %d, "text": "%s"}\n' % (i, b"x" * (i % 50)) for i in range(6_000))


def zstd(text, codec="zstd"):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as out:
        out.write(text)
    return sink.getvalue().to_pybytes()


def bgzf(text, block_bytes=60_000):
    """As bgzip writes it."""
    out = []
    for start in [*range(0, len(text), block_bytes), len(text)]:
        part = text[start : start + block_bytes]
        made = zlib.compressobj(6, zlib.DEFLATED, -15)
        data = made.compress(part) + made.flush()
        size = (len(data) + 25).to_bytes(2, "little")
        check = zlib.crc32(part).to_bytes(4, "little") + len(part).to_bytes(4, "little")
        out.append(b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff\x06\0BC\x02\0" + size + data + check)
    return b"".join(out)


PACKED = {
    "plain": TEXT,
    "gzip": gzip.compress(TEXT),
    "gzip_members": gzip.compress(TEXT[:5000]) + gzip.compress(b"") + gzip.compress(TEXT[5000:]) + b"\0" * 512,
    "gzip_blocks": bgzf(TEXT * 20),
    "bzip2": bz2.compress(TEXT),
    "bzip2_members": bz2.compress(TEXT[:5000]) + bz2.compress(TEXT[5000:]),
    "xz": lzma.compress(TEXT),
    "zstd": zstd(TEXT),
    "zstd_frames": zstd(TEXT[:5000]) + zstd(TEXT[5000:]),
    "lz4": zstd(TEXT, "lz4"),
}


def items(folder, glob="*"):
    fs = fsspec.filesystem("file")
    return [FileItemDict(item, fs) for item in glob_files(fs, str(folder), glob)]


def item_of(tmp_path, content, name="a.jsonl"):
    (tmp_path / name).write_bytes(content)
    return items(tmp_path, name)[0]


@pytest.mark.parametrize("kind", PACKED)
def test_content_is_unpacked_whatever_its_name(tmp_path, kind):
    item = item_of(tmp_path, PACKED[kind])
    with open_file(item) as file:
        assert file.read() == (TEXT * 20 if kind == "gzip_blocks" else TEXT)
        assert (file.compression or "plain") == kind.partition("_")[0]
        assert file.stored_position == file.stored_size == len(PACKED[kind])
        file.check_unchanged()
    with open_seekable(item) as file:
        file.seek(1000)
        assert file.read(100) == TEXT[1000:1100]


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_content_of_a_remote_store_and_of_the_item(tmp_path, kind):
    fs = fsspec.filesystem("memory")
    fs.pipe(f"/headrace-{kind}/a.jsonl", PACKED[kind])
    (item,) = [FileItemDict(one, fs) for one in glob_files(fs, f"memory://headrace-{kind}", "*")]
    with open_file(item) as file:
        assert file.read() == TEXT
    given = item_of(tmp_path, PACKED[kind])
    given["file_content"] = PACKED[kind]
    (tmp_path / "a.jsonl").unlink()
    with open_file(given) as file:
        assert file.read() == TEXT


@pytest.mark.parametrize("kind", [kind for kind in PACKED if kind != "plain"])
def test_a_cut_file_is_told(tmp_path, kind):
    cut = PACKED[kind].rstrip(b"\0")[:-20]
    with pytest.raises((EOFError, OSError)), open_file(item_of(tmp_path, cut)) as file:
        while file.read(1 << 16):
            pass


def test_what_stands_behind_a_member_is_no_padding(tmp_path):
    with (
        pytest.raises(OSError, match="behind member 1 is not gzip"),
        open_file(item_of(tmp_path, PACKED["gzip"] + b"more of it, not compressed")) as file,
    ):
        file.read()


def test_a_bomb_is_unpacked_piece_by_piece(tmp_path):
    with open_file(item_of(tmp_path, gzip.compress(bytes(50 << 20))), 1 << 16) as file:
        tracemalloc.start()
        assert len(file.read(1000)) == 1000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 << 20


def test_a_file_that_changes_is_told(tmp_path):
    item = item_of(tmp_path, TEXT)
    with open_file(item) as file:
        file.read(10)
        with (tmp_path / "a.jsonl").open("ab") as more:
            more.write(b"{}")
        with pytest.raises(FileChanged, match="changed while it was read"):
            file.check_unchanged()


def test_a_guard_says_where(tmp_path):
    item = item_of(tmp_path, TEXT)
    with (
        pytest.raises(Exception, match=r"resource `r`, file://.*a\.jsonl, row 3: ValueError: no.* 2 records"),
        Skips("r").guard(item) as position,
    ):
        position.place, position.read = "row 3", 2
        raise ValueError("no")
    skips = Skips("r", "skip_file")
    with skips.guard(item) as position:
        raise OSError("cut")
    assert skips.n_files == 1 and skips.listed[0]["error"] == "OSError: cut"
    assert os.path.basename(skips.listed[0]["url"]) == "a.jsonl"


SKIPPED = b"\x52\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"index"
RAW = b"\x28\xb5\x2f\xfd\x20\x05" + (5 << 3 | 1).to_bytes(3, "little") + b"12345"
SAME = b"\x28\xb5\x2f\xfd\xa0" + (70_000).to_bytes(4, "little") + (70_000 << 3 | 3).to_bytes(3, "little") + b"a"
NOISE = b"".join(hashlib.sha512(b"%d" % i).digest() for i in range(20_000))  # 1.3 MB that do not get smaller
FRAMES = {
    "short": (
        [pa.compress(TEXT[at : at + 3000], "zstd", asbytes=True) for at in range(0, 200_000, 3000)],
        TEXT[:201_000],
    ),
    "skipped": ([SKIPPED, zstd(TEXT), SKIPPED, SKIPPED, zstd(b""), zstd(b"x"), SKIPPED], TEXT + b"x"),
    "kinds of blocks": ([RAW, SAME, zstd(NOISE), RAW], b"12345" + b"a" * 70_000 + NOISE + b"12345"),
    "large ones": ([zstd(b"1"), zstd(b"b" * (40 << 20)), RAW, zstd(TEXT)], b"1" + b"b" * (40 << 20) + b"12345" + TEXT),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_zstd_side_by_side(tmp_path, monkeypatch, name):
    frames, text = FRAMES[name]
    undone, undo = [], compression._undo_frames
    monkeypatch.setattr(compression, "_undo_frames", lambda some, n, told: undone.append(n) or undo(some, n, told))
    monkeypatch.setattr(compression, "_FRAMES_BYTES", 1000)
    for is_ahead in (False, True):
        with open_file(item_of(tmp_path, b"".join(frames)), is_ahead=is_ahead) as file:
            assert file.read() == text
            file.check_unchanged()
    assert len(undone) > 1 and max(undone) <= compression._FRAME_MADE


def test_frames_of_zstd_that_are_wrong(tmp_path):
    frames = [zstd(TEXT[:5000]), zstd(TEXT[5000:])]
    whole = b"".join(frames)
    first = len(frames[0])
    for size in (first - 1, first + 1, first + 7, first + 40, len(whole) - 1):
        with pytest.raises((OSError, EOFError), match="zstd"), open_file(item_of(tmp_path, whole[:size])) as file:
            file.read()
    bad = bytearray(whole)
    bad[first + 6] |= 6  # a block of no kind that is known
    with pytest.raises((OSError, EOFError), match="zstd"), open_file(item_of(tmp_path, bytes(bad))) as file:
        file.read()
    lies = RAW[:5] + b"\x06" + RAW[6:]
    with pytest.raises(OSError, match="the zstd data are corrupt"), open_file(item_of(tmp_path, RAW + lies)) as file:
        file.read()
    for behind in (b"xyz" * 9, b"\x28\xb5\x2f\xfd"):
        with pytest.raises((OSError, EOFError), match="zstd"), open_file(item_of(tmp_path, whole + behind)) as file:
            file.read()


def test_reading_ahead_ends_with_its_file(tmp_path):
    content = gzip.compress(bytes(64 << 20))
    file = open_file(item_of(tmp_path, content), is_ahead=True)
    assert file.read(10) == bytes(10)
    file.close()
    assert not [one for one in threading.enumerate() if one.name == "headrace-ahead"]
    cut = open_file(item_of(tmp_path, gzip.compress(TEXT)[:-9]), is_ahead=True)
    for _ in range(2):
        with pytest.raises(EOFError, match="gzip data end within member 1"):
            cut.read()
    cut.close()


def test_blocks_of_bgzip_that_are_wrong(tmp_path):
    good = bgzf(TEXT, 10_000)
    flipped = bytearray(good)
    flipped[3000] ^= 1
    size = int.from_bytes(good[16:18], "little") + 1
    wrong = {
        bytes(flipped): r"gzip block \d is corrupt",
        good[:size] + b"\0" * 30: None,
        good[:size] + gzip.compress(b"x"): "what stands behind block 1 is no block of bgzip",
        good[: size + 100]: "the gzip data end within block 2",
        good[: size + 10]: "the gzip data end within block 2",
        good[:16]
        + (size - 9).to_bytes(2, "little")
        + good[18:size]
        + b"\0" * 30: "gzip block 1 is corrupt|no block of bgzip",
    }
    for content, message in wrong.items():
        item = item_of(tmp_path, content)
        if message is None:
            with open_file(item) as file:
                assert file.read() == TEXT[:10_000]
            continue
        with pytest.raises((OSError, EOFError), match=message), open_file(item) as file:
            file.read()
