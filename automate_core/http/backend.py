"""Sockets to checked addresses, under one deadline: the network backend below the connection pool."""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore

from automate_core.http import guard

_deadline: ContextVar[float] = ContextVar("automate_http_deadline")


@contextmanager
def deadline_scope(seconds: float) -> Iterator[None]:
    """Bound everything the block sends, receives and waits for by one total time in seconds."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float:
    """Return the seconds left before the deadline; zero or less when it has passed."""
    return _deadline.get() - time.monotonic()


class GuardedBackend(httpcore.NetworkBackend):
    """Connect to an address that was checked; Host, SNI and the certificate check still use the name."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve once, check every answer, and connect to the first address that accepts."""
        answers = guard.resolve(host, port, _left(httpcore.ConnectTimeout))
        failure: OSError | None = None
        for tried, (family, kind, protocol, _, address) in enumerate(answers):
            share = _left(httpcore.ConnectTimeout) / (len(answers) - tried)
            try:
                return SocketStream(_connected(family, kind, protocol, address, share))
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise httpcore.ConnectTimeout(f"{host}:{port} did not accept the connection in time") from failure
        raise httpcore.ConnectError(f"{host}:{port} refused the connection") from failure


class SocketStream(httpcore.NetworkStream):
    """One connected socket whose every operation ends before the deadline in context."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has arrived, up to `max_bytes`; empty at the end of the stream."""
        try:
            self._socket.settimeout(_left(httpcore.ReadTimeout))
            return self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout("no answer in time") from error
        except OSError as error:
            raise httpcore.ReadError("the connection broke while reading") from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`."""
        try:
            self._socket.settimeout(_left(httpcore.WriteTimeout))
            self._socket.sendall(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout("the request was not taken in time") from error
        except OSError as error:
            raise httpcore.WriteError("the connection broke while writing") from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Wrap the connection in TLS, checking the certificate against the name in the URL."""
        try:
            self._socket.settimeout(_left(httpcore.ConnectTimeout))
            return SocketStream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname))
        except TimeoutError as error:
            self.close()
            raise httpcore.ConnectTimeout("the TLS handshake took too long") from error
        except OSError as error:
            self.close()
            reason = (
                error.verify_message
                if isinstance(error, ssl.SSLCertVerificationError)
                else "handshake failed"
            )
            raise httpcore.ConnectError(f"TLS: {reason}") from error

    def get_extra_info(self, info: str) -> Any:
        """Answer what the pool asks: the TLS object, and whether an idle connection has something to read."""
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        if info == "is_readable":
            return _is_readable(self._socket)
        return None


def _left(expired: type[httpcore.TimeoutException]) -> float:
    seconds = remaining()
    if seconds <= 0:
        raise expired("the time allowed for the whole request is over")
    return seconds


def _connected(family: int, kind: int, protocol: int, address: Any, timeout: float) -> socket.socket:
    connection = socket.socket(family, kind, protocol)
    try:
        connection.settimeout(timeout)
        connection.connect(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_readable(connection: socket.socket) -> bool:
    if connection.fileno() < 0:
        return True
    if os.name == "nt":
        return bool(select.select([connection], [], [], 0)[0])
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
