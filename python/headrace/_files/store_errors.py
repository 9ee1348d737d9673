"""Errors of stores: which tell that a store cannot be reached, and what is said of one that cannot be listed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headrace.exceptions import ResourceFailed, ResourceFailedTransient, mask_error, mask_text, mask_url

_UNREACHABLE = (ConnectionError, TimeoutError, socket.gaierror)
# Of the stores' clients, which have no common class: botocore, aiohttp, httpx, google-auth, azure-core, paramiko.
_UNREACHABLE_NAMES = {
    "EndpointConnectionError", "HTTPClientError", "ClientConnectionError", "TransportError", "ServiceRequestError",
    "NoValidConnectionsError", "SSHException",
}  # fmt: skip
_REFUSED_NAMES = {"AuthenticationException", "NoCredentialsError", "RefreshError", "ClientAuthenticationError"}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it came from."""
    for _ in range(20):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def is_unreachable(error: BaseException) -> bool:
    """Whether the error says that a store was not reached, or did not answer: a later run may succeed."""
    return not _is_refused(error) and any(
        isinstance(one, _UNREACHABLE) or _names(one) & _UNREACHABLE_NAMES for one in _chain(error)
    )


def _is_refused(error: BaseException) -> bool:
    told = {str(getattr(error, name, "")) for name in ("status", "status_code", "code")}  # of HTTP
    return isinstance(error, PermissionError) or bool(_names(error) & _REFUSED_NAMES or told & {"401", "403"})


@contextmanager
def listing(resource: str, bucket_url: str, credentials: Any) -> Iterator[None]:
    """Around the listing of a store: what goes wrong is told with its URL, without secrets, and what to do.

    Raises:
        ResourceFailedTransient: The store cannot be reached.
        ResourceFailed: It does not let us in.
    """
    try:
        yield
    except Exception as error:
        is_transient = is_unreachable(error) or isinstance(error, EOFError)  # ftplib's, of a connection that is gone
        if not is_transient and not _is_refused(error):
            raise
        endpoint = _endpoint(credentials)
        where = f" at {endpoint}" if endpoint else ""
        advice = (
            "Check that the URL, the endpoint and the network are right and the store is up, and run again."
            if is_transient
            else "Check that the credentials are those of this store, and that they may list it."
        )
        said = mask_text(f"{type(error).__name__}: {error}").rstrip(".")
        text = (
            f"list: resource `{resource}`, {mask_url(bucket_url)}{where}: the store"
            f" {'cannot be reached' if is_transient else 'refuses to be listed'}: {said}. {advice}"
        )
        raise (ResourceFailedTransient if is_transient else ResourceFailed)(text) from mask_error(error)


def _endpoint(credentials: Any) -> str:
    """Where the store is, as far as its credentials (dlt's) or its filesystem (fsspec's) tell; without secrets."""
    options: Any = getattr(credentials, "storage_options", None) or {}
    for holder in (credentials, options, options.get("client_kwargs") or {}):
        for name in ("endpoint_url", "base_url"):
            found = holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
            if isinstance(found, str) and found:
                return mask_url(found)
    host, port = options.get("host"), options.get("port") or getattr(credentials, "sftp_port", None)
    return ":".join(str(one) for one in (host, port) if one) if host else (f"port {port}" if port else "")
