"""How tests of file formats read: a reader over a folder's files, alone or in a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import fsspec
import headrace.sources.filesystem as files
from oracle import make_pipeline


def read(reader: Any, folder: Path, glob: str = "*", **options: Any) -> list[Any]:
    """What the reader gives for the files of a folder, in the order of their names."""
    fs = fsspec.filesystem("file")
    items = [files.FileItemDict(item, fs) for item in files.glob_files(fs, str(folder), glob)]
    return list(reader(sorted(items, key=lambda item: item["file_name"]), **options))


def run(module: Any, reader: str, folder: Path, work: Path, glob: str = "*", **options: Any) -> dlt.Pipeline:
    """A pipeline that loaded the folder's files into the table `t`."""
    pipeline = make_pipeline(work, "files")
    by_name = dlt.sources.incremental("file_name", row_order="asc")
    listed = module.filesystem(f"file://{folder}", file_glob=glob, incremental=by_name)
    made = getattr(module, reader)
    made = made(**options) if options else made
    pipeline.run((listed | made).with_name("t"), loader_file_format="parquet")
    return pipeline
