"""How tests of file formats read: a reader over a folder's files, alone, in a pipeline, or beside dlt's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.filesystem as dlts
import fsspec
import headrace
import headrace.sources.filesystem as files
from oracle import assert_equal, make_pipeline


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


def both(work: Path, folder: Path, make: Callable[[Any, str, int], Any], runs: int = 1) -> list[dlt.Pipeline]:
    """The pipelines of dlt and of headrace, equal, after `runs` runs of what `make(module, folder, number of the run)` makes."""
    pipelines = []
    for name, module in (("dlt", dlts), ("headrace", files)):
        pipeline = make_pipeline(work / name, f"{name}_pipeline")
        for number in range(runs):
            pipeline.run(make(module, str(folder), number), loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    return pipelines


def served(pipeline: dlt.Pipeline, name: str) -> Any:
    """How headrace says it served a resource in the last load."""
    return headrace.status()[pipeline.last_trace.last_extract_info.loads_ids[-1]]["resources"][name]
