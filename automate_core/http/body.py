"""Reading a response body within its limit, counted both as received and after decompression."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from automate_core.errors import PermanentError
from automate_core.http.guard import ResponseTooLarge

_PIECE = 65_536
_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class UnreadableResponse(PermanentError):
    """The response cannot be decoded."""


def read_body(chunks: Iterable[bytes], encoding: str, limit: int) -> bytes:
    """Return the decoded body.

    Args:
        chunks: the body as received.
        encoding: value of the Content-Encoding header; we ask for gzip and deflate only.
        limit: most bytes accepted, before and after decoding.

    Raises:
        ResponseTooLarge: more than `limit` bytes.
        UnreadableResponse: an encoding we did not ask for, or a damaged body.
    """
    encoding = encoding.strip().lower()
    pieces = _counted(chunks, limit)
    if encoding not in ("", "identity"):
        if encoding not in _WINDOW_BITS:
            raise UnreadableResponse(f"The response is encoded as {encoding[:40]!r}, which was not asked for")
        pieces = _counted(_inflated(pieces, _WINDOW_BITS[encoding]), limit)
    return b"".join(pieces)


def _counted(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise ResponseTooLarge(f"The response is larger than {limit} bytes")
        yield chunk


def _inflated(chunks: Iterable[bytes], window_bits: int) -> Iterator[bytes]:
    # Bounded pieces: a whole chunk at once would let 64 KiB grow to 64 MiB before it is counted.
    inflater = zlib.decompressobj(window_bits)
    started = False
    try:
        for chunk in chunks:
            if not started and chunk and window_bits == zlib.MAX_WBITS and chunk[0] & 0x0F != 8:
                # Servers disagree whether "deflate" has the zlib wrapper (RFC 9110, section 8.4.1.2).
                inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            started = started or bool(chunk)
            pending = chunk
            while pending and not inflater.eof:
                yield inflater.decompress(pending, _PIECE)
                pending = inflater.unconsumed_tail
        while piece := inflater.decompress(inflater.unconsumed_tail, _PIECE):
            yield piece
    except zlib.error as error:
        raise UnreadableResponse("The compressed response is damaged") from error
    if started and not inflater.eof:
        raise UnreadableResponse("The compressed response ends too early")
