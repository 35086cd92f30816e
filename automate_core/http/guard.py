"""Where outbound requests may go: rules on URLs, and one resolution whose every address must be public."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import httpx

from automate_core import conf
from automate_core.errors import ErrorCodes, PermanentError, TransientError
from automate_core.http.addresses import is_public

URL_LIMIT = 8192
"""Longest URL accepted, in characters."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\]|[\ud800-\udfff]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})+")
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_INTERNAL_NAME = re.compile(
    r"(?:.*\.)?(?:localhost|local|localdomain|internal|intranet|private|corp|home|lan|home\.arpa|in-addr\.arpa|ip6\.arpa)"
)


class OutboundRefused(PermanentError):
    """The outbound request is not allowed; use a public http or https URL, or allow its exact host:port."""

    code = ErrorCodes.PERMANENT


class OutboundTimeout(TransientError):
    """The other side did not answer in time.

    `performed` is False when nothing of the request had left, None when nobody can know what it did.
    """

    code = ErrorCodes.TIMEOUT


class OutboundFailed(TransientError):
    """The connection could not be made, or broke.

    `performed` is False when nothing of the request had left, None when nobody can know what it did.
    """


class ResponseTooLarge(PermanentError):
    """The response is larger than the limit; ask for less, or raise the limit."""


def check_url(url: str) -> None:
    """Check a URL before storing it: its form, its literal address, and what its name resolves to now.

    A name that does not resolve now is let through: every request checks again when it connects.

    Raises:
        OutboundRefused: requests to this URL would be refused.
    """
    target = parse(url)
    host, port = host_of(target), port_of(target)
    if is_allowed(host, port) or _literal(host):
        return
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    _require_public(host, answers)


def parse(url: str | httpx.URL) -> httpx.URL:
    """Parse a URL and refuse every form that cannot lead to a public http(s) server.

    The result is what the connection is made from, so no other parser can read it differently.

    Raises:
        OutboundRefused: scheme, user info, port, host form or literal address not allowed.
    """
    text = str(url)
    if len(text) > URL_LIMIT:
        raise OutboundRefused(f"The URL is longer than {URL_LIMIT} characters")
    if _FORBIDDEN_CHARACTERS.search(text):
        raise OutboundRefused(
            "The URL contains spaces, control characters or backslashes; percent-encode them"
        )
    try:
        target = httpx.URL(text).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError) as error:
        raise OutboundRefused("The URL is malformed; use https://host/path") from error
    if target.scheme not in _DEFAULT_PORTS:
        raise OutboundRefused(f"The URL scheme {target.scheme[:20]!r} is not allowed; use http or https")
    if target.userinfo:
        raise OutboundRefused("The URL contains a user name or password; send credentials in a header")
    host, port = host_of(target), port_of(target)
    if not 0 < port <= 65535:
        raise OutboundRefused(f"Port {port} is not allowed; use 1 to 65535")
    if not is_allowed(host, port):
        _require_public_form(host)
    return target


def host_of(target: httpx.URL) -> str:
    """Return the host the connection is made to, in ASCII and lower case, without brackets."""
    return target.raw_host.decode("ascii").lower()


def port_of(target: httpx.URL) -> int:
    """Return the port, the scheme's default when the URL names none."""
    return _DEFAULT_PORTS.get(target.scheme, 0) if target.port is None else target.port


def is_allowed(host: str, port: int) -> bool:
    """Tell whether `AUTOMATE["HTTP_ALLOW"]` opens exactly this host and port."""
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return name in conf.get().HTTP_ALLOW


def resolve(host: str, port: int, timeout: float) -> list[tuple[Any, ...]]:
    """Resolve a host once and return the `getaddrinfo` answers, every one of them checked.

    Args:
        host: as returned by `host_of`.
        port: 1 to 65535.
        timeout: seconds to wait for the resolver.

    Raises:
        OutboundRefused: an address is not public and host:port is not on the allow-list.
        OutboundFailed: the name does not resolve.
        OutboundTimeout: the resolver did not answer in time.
    """
    try:
        if _literal(host):
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        else:
            # getaddrinfo knows no timeout of its own, so it runs where it can be left behind.
            lookup = resolver().submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            answers = lookup.result(timeout)
    except FutureTimeout as error:
        raise OutboundTimeout(f"Looking up {host!r} took too long", performed=False) from error
    except (OSError, UnicodeError) as error:
        raise OutboundFailed(f"The name {host!r} does not resolve; check it", performed=False) from error
    if not is_allowed(host, port):
        _require_public(host, answers)
    return list(answers)


@lru_cache(maxsize=1)
def resolver() -> ThreadPoolExecutor:
    """Return the threads name lookups run in."""
    return ThreadPoolExecutor(max_workers=32, thread_name_prefix="automate-resolve")


def _require_public_form(host: str) -> None:
    if _literal(host):
        if not is_public(host):
            raise OutboundRefused(
                f"The address {host!r} is not public; allow its exact host:port if it is meant"
            )
        return
    name = host.removesuffix(".")
    if _NUMERIC_END.fullmatch(name):
        raise OutboundRefused(
            f"The host {host!r} is a number but not a plain IP address; write it as a.b.c.d"
        )
    if _INTERNAL_NAME.fullmatch(name) or not _NAME.fullmatch(name):
        raise OutboundRefused(
            f"The host {host[:100]!r} is not a public name; allow its exact host:port if it is meant"
        )


def _literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _require_public(host: str, answers: list[Any]) -> None:
    if not answers or not all(is_public(str(answer[4][0])) for answer in answers):
        # No addresses in the message: they would map the inner network for whoever chose the name.
        raise OutboundRefused(
            f"The host {host!r} leads to an address that is not public; "
            "allow its exact host:port if it is meant"
        )
