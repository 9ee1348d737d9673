"""Where refresh tokens are kept that a server replaces at each use: files that only their owner can read.

dlt's state goes to the destination, so it is no place for secrets; its providers are read-only for most. A file has one token,
under a name made of the token URL, the client and the token that the configuration has: another configured token begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headrace.exceptions import AuthenticationFailed

_FOLDER = "headrace_tokens"


class TokenStore:
    """The file of one authentication."""

    def __init__(self, place: str | None, token_url: str, client_id: str | None, configured: str | None) -> None:
        name = hashlib.sha256(repr((token_url, client_id, configured)).encode()).hexdigest()[:32] + ".json"
        path = Path(place) if place is not None else _data_folder() / _FOLDER
        self.path = path if path.suffix == ".json" else path / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes away: a token that is used twice makes some servers end them all."""
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with suppress(ImportError):  # not on Windows
                import fcntl

                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def read(self) -> str | None:
        """The token that the server gave last; None: there is none."""
        with self._told():
            if not self.path.exists():
                return None
            text = self.path.read_bytes()
        try:
            found = json.loads(text).get("refresh_token")
        except (ValueError, AttributeError):
            return None
        return str(found) if found else None

    def write(self, token: str) -> None:
        """Keeps a token in place of the one before, whole or not at all."""
        with self._told():
            self._write(token)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Files that cannot be had fail the authentication, with their place."""
        try:
            yield
        except OSError as error:
            raise AuthenticationFailed(
                f"auth: the refresh token cannot be kept in {self.path}: {error.strerror or error}. Set token_store to a file or"
                " folder that can be written"
            ) from error

    def _write(self, token: str) -> None:
        descriptor, name = tempfile.mkstemp(dir=self.path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"refresh_token": token}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise


def _data_folder() -> Path:
    import dlt

    return Path(dlt.current.run_context().data_dir)
