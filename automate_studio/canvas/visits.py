"""Which safe requests may start or stop something although they are safe: those no browser sends of its own accord."""

from __future__ import annotations

from rest_framework.request import Request

_CREDENTIALS = ("Authorization", "X-API-Key")
_PREFETCH = ("Purpose", "Sec-Purpose", "X-Purpose", "X-Moz")
_SPECULATIVE = ("prefetch", "prerender", "preview")


def is_meant(request: Request, *, allowed_origin: str | None) -> bool:
    """Tell whether a GET is a caller's own doing: sent with a credential in a header, and not on a browser's guess.

    A cookie alone does not count: a link, an image or a page of another site would send it too. Neither does HEAD,
    a prefetch, or a request from a page of another site, unless that is one of the origins the API is open to.

    Args:
        request: the request; its caller is known.
        allowed_origin: its Origin, if that is one CORS allows.
    """
    if request.method != "GET" or not any(name in request.headers for name in _CREDENTIALS):
        return False
    hints = [request.headers.get(name, "").lower() for name in _PREFETCH]
    if any(word in hint for hint in hints for word in _SPECULATIVE):
        return False
    return request.headers.get("Sec-Fetch-Site", "").lower() != "cross-site" or allowed_origin is not None
