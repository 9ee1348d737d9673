"""A loopback SOCKS5 proxy (RFC 1928) that wants a user and a password (RFC 1929), or nothing. Standard library only.

with Socks(user="me", password="p@ss") as socks: socks.port, socks.asked (targets "host:port", in order)
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any


class Socks:
    """The server; a context manager that runs it on threads of its own."""

    def __init__(self, user: str = "", password: str = "", known: dict[str, str] | None = None) -> None:
        self.asked: list[str] = []
        self._user, self._password = user, password
        self._known = known or {}  # names that only this proxy can resolve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Socks:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            stream = client.makefile("rb")
            if not self._greets(client, stream):
                return
            _, _, _, kind = stream.read(4)
            if kind == 3:
                host = stream.read(stream.read(1)[0]).decode()
            else:
                host = socket.inet_ntop(
                    socket.AF_INET if kind == 1 else socket.AF_INET6, stream.read(4 if kind == 1 else 16)
                )
            (port,) = struct.unpack("!H", stream.read(2))
            self.asked.append(f"{host}:{port}")
            try:
                there = socket.create_connection((self._known.get(host, host), port), 5)
            except OSError:
                client.sendall(b"\x05\x05\x00\x01" + bytes(6))
                return
            client.sendall(b"\x05\x00\x00\x01" + bytes(6))
            with there:
                back = threading.Thread(target=_copy, args=(there, client), daemon=True)
                back.start()
                _copy(client, there)
                back.join()

    def _greets(self, client: socket.socket, stream: Any) -> bool:
        """Whether the client says who it is, if that is wanted."""
        _, n = stream.read(2)
        methods = stream.read(n)
        wanted = 2 if self._user else 0
        if wanted not in methods:
            client.sendall(b"\x05\xff")
            return False
        client.sendall(bytes((5, wanted)))
        if wanted == 2:
            stream.read(1)
            user = stream.read(stream.read(1)[0]).decode()
            password = stream.read(stream.read(1)[0]).decode()
            is_right = (user, password) == (self._user, self._password)
            client.sendall(b"\x01\x00" if is_right else b"\x01\x01")
            return is_right
        return True


def _copy(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass
