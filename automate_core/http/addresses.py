"""Which IP addresses are public: the decision behind every outbound connection.

Sources: the IANA special-purpose address registries (RFC 6890 and successors); RFC 4291 for IPv4-mapped and
IPv4-compatible addresses, RFC 6052 for NAT64, RFC 3056 for 6to4, RFC 4380 for Teredo, RFC 5214 for ISATAP,
RFC 2765 for IPv4-translated.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        # A cloud's host agent, served on an address that looks public (Azure's wire server).
        "168.63.129.16/32",
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(block)
    for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_COMPATIBLE = IPv6Network("::/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = (0x00005EFE, 0x02005EFE)


@lru_cache(maxsize=1024)
def is_public(address: str) -> bool:
    """Tell whether an IP address in text form is public, unwrapping IPv4 addresses carried inside IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _public_v4(parsed)
    if parsed.scope_id is not None:
        return False
    if wrapped := tuple(_wrapped(parsed)):
        return all(map(_public_v4, wrapped))
    if parsed not in _GLOBAL_UNICAST_V6 or any(parsed in block for block in _NOT_PUBLIC_V6):
        return False
    value = int(parsed)
    return value >> 32 & 0xFFFF_FFFF not in _ISATAP or _public_v4(IPv4Address(value & 0xFFFF_FFFF))


def _public_v4(address: IPv4Address) -> bool:
    return not any(address in block for block in _NOT_PUBLIC_V4)


def _wrapped(address: IPv6Address) -> Iterator[IPv4Address]:
    value = int(address)
    if any(address in block for block in (_MAPPED, _COMPATIBLE, _TRANSLATED, _NAT64)):
        yield IPv4Address(value & 0xFFFF_FFFF)
    elif address in _SIX_TO_FOUR:
        yield IPv4Address(value >> 80 & 0xFFFF_FFFF)
    elif address in _TEREDO:
        yield IPv4Address(value >> 64 & 0xFFFF_FFFF)
        yield IPv4Address(~value & 0xFFFF_FFFF)
