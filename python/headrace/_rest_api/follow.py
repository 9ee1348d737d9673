"""`headrace.follow`: a pipeline that is run again and again over streams, a load package a stretch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
from dlt.common.pipeline import LoadInfo


def follow(pipeline: dlt.Pipeline, source: Any | Callable[[], Any], **options: Any) -> Iterator[LoadInfo]:
    """Runs a pipeline until the streams of its source end or have what their `stop_after` says.

    Each run takes what `commit_every` says and is a load package of its own: what it loaded stays, whatever happens later.
    Connections stay open between the runs. Ends with Ctrl-C, or when the caller takes no more.

    Args:
        pipeline: The pipeline.
        source: The source, or a function that makes one for each run.
        options: Arguments of `pipeline.run`.

    Yields:
        The load info of each run.
    """
    from headrace._rest_api.live import kept  # pyarrow and what serves rest_api with it

    with kept() as have_ended:
        while True:
            one = source() if callable(source) and not hasattr(source, "resources") else source
            yield pipeline.run(one, **options)
            if have_ended():
                return
