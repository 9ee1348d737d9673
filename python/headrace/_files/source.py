"""The resource `filesystem`: dlt's, with local folders listed fast and files that were loaded before left out on request."""

from collections.abc import Iterator
from typing import Any

import dlt
from dlt.common import logger
from dlt.common.storages.fsspec_filesystem import FileItem, fsspec_filesystem
from dlt.extract import decorators
from dlt.sources.credentials import FileSystemCredentials
from dlt.sources.filesystem.helpers import FilesystemConfigurationResource
from dlt.sources.filesystem.settings import DEFAULT_CHUNK_SIZE
from fsspec import AbstractFileSystem

from headrace._files.arguments import FilesystemResource, check_arguments
from headrace._files.listing import ListedFile, listed
from headrace._files.skips import current_resource
from headrace._files.store_errors import listing
from headrace._files.tracking import Tracker

__source_name__ = "filesystem"
# No postponed annotations here: dlt looks for the incremental among those of the function.


@decorators.resource(primary_key="file_url", spec=FilesystemConfigurationResource, _impl_cls=FilesystemResource)
def filesystem(
    bucket_url: str = dlt.secrets.value,
    credentials: FileSystemCredentials | AbstractFileSystem = dlt.secrets.value,
    file_glob: str = "*",
    files_per_page: int = DEFAULT_CHUNK_SIZE,
    extract_content: bool = False,
    kwargs: dict[str, Any] | None = None,
    client_kwargs: dict[str, Any] | None = None,
    incremental: dlt.sources.incremental[Any] | None = None,
    fetch_file_info: bool = False,
    only_new: str | None = None,
) -> Iterator[list[FileItem]]:
    """Lists files, to be read by a reader: `filesystem(...) | read_jsonl()`.

    Args:
        bucket_url: Where the files are.
        credentials: As dlt's filesystem takes them, or an fsspec filesystem.
        file_glob: Which files; `**` goes into folders.
        files_per_page: Files that are given on at once.
        extract_content: Whether their content comes with them.
        kwargs: For the fsspec filesystem's constructor.
        client_kwargs: For the client below it.
        incremental: A cursor over the listed files, such as `modification_date`.
        fetch_file_info: Whether a store that lists no sizes or times is asked for them, a request a file.
        only_new: Leaves out files that earlier runs loaded: by `name`, or unless they changed by `version` (size or
            modification time), `etag` or `hash` (of their content). Unlike a cursor it sees files that come late with an old
            time.
    """
    check_arguments("filesystem", {"files_per_page": files_per_page, "only_new": only_new})
    _record_input(bucket_url, file_glob)
    found = _listed(bucket_url, credentials, file_glob, kwargs, client_kwargs, fetch_file_info)
    if incremental and incremental.row_order:
        key = incremental.cursor_path
        is_reversed = (incremental.row_order == "asc") == (incremental.last_value_func is min)
        found = iter(sorted(found, key=lambda one: one[key], reverse=is_reversed))
    tracker = _tracker(only_new, bucket_url, file_glob) if only_new else None
    is_whole = False
    page: list[Any] = []
    try:
        for item in found if tracker is None else tracker.wanted(found):
            if extract_content:
                item["file_content"] = item.read_bytes()
            page.append(item)
            if len(page) >= files_per_page:
                yield _given(page, tracker)
                page = []
        if page:
            yield _given(page, tracker)
        is_whole = True
    finally:
        if tracker is not None:
            tracker.end(is_whole)


def _listed(
    bucket_url: str, credentials: Any, file_glob: str, kwargs: Any, client_kwargs: Any, fetch_file_info: bool
) -> Iterator[ListedFile]:
    with listing(current_resource("filesystem"), bucket_url, credentials):
        fs = credentials
        if not isinstance(credentials, AbstractFileSystem):
            fs = fsspec_filesystem(bucket_url, credentials, kwargs=kwargs, client_kwargs=client_kwargs)[0]
        yield from listed(fs, bucket_url, file_glob, fetch_file_info)


def _given(page: list[Any], tracker: Tracker | None) -> list[Any]:
    if tracker is not None:
        for item in page:
            tracker.given(item)
    return page


def _tracker(only_new: str, bucket_url: str, file_glob: str) -> Tracker | None:
    try:
        dlt.current.load_package_state()
    except Exception:
        logger.warning(
            "headrace: `only_new` of `filesystem` has no meaning outside of a pipeline: all files are listed"
        )
        return None
    return Tracker(only_new, bucket_url, file_glob)


def _record_input(bucket_url: str, file_glob: str) -> None:
    """Tells dlt's trace where the files are from; dlt before 1.30 has no such thing."""
    try:
        from dlt.sources.filesystem.helpers import record_bucket_input
    except ImportError:
        return
    record_bucket_input(bucket_url, file_glob)
