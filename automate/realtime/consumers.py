"""The socket `/ws/workflow/{id}/`: the state, then whatever happens; a few messages are understood in return.

A plain ASGI application: a connection costs two coroutines and a queue, and no channel of its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import UUID

import orjson
import psycopg
from django.db import Error as DatabaseError

from automate.realtime import handshake, hub
from automate.realtime.handshake import TOO_MANY, RateLimited, Refused, Ticket, WrongOrigin
from automate.realtime.presence import TooManyConnections
from automate.realtime.subscriptions import Subscription, TooSlow
from automate_api.errors import Failure
from automate_core import conf
from automate_core.errors import AutomateError

logger = logging.getLogger(__name__)

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

MESSAGE_LIMIT_BYTES = 65_536
"""Longest message understood; a longer one ends the connection."""
RATE_PER_SECOND, RATE_BURST = 50.0, 200.0
"""Messages a client may send: on average, and at once."""
RECHECK_SECONDS = (40.0, 55.0)
"""How often it is asked whether the caller may still look on; somewhere in between, so that not all ask at once."""
CLOSE_SECONDS = 2.0
"""How long a connection may take to be told why it ends."""

STUCK_SECONDS = 10.0
"""How long a client may take nothing of a piece of what waits for it."""

TOO_BIG, POLICY, TRY_LATER = 1009, 1008, 1013
TOO_SLOW = "The connection reads too slowly; connect again"


class Closing(Exception):
    """The connection ends; `code` as in RFC 6455, section 7.4."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Left(Exception):
    """The client is gone."""


async def workflow_socket(scope: Event, receive: Receive, send: Send) -> None:
    """Serve one connection, from its handshake to its end."""
    await receive()
    workflow_id: UUID = scope["url_route"]["kwargs"]["workflow_id"]
    try:
        ticket = await handshake.admit(scope, workflow_id)
    except WrongOrigin:
        await send({"type": "websocket.close", "code": handshake.FORBIDDEN})
        return
    except RateLimited as limited:
        await deny(scope, send, limited.failure)
        return
    except Refused as refused:
        await _accept(scope, send)
        await _close(send, refused.close_code, refused.message)
        return
    except DatabaseError as error:
        closing = _unreadable(error)
        await _accept(scope, send)
        await _close(send, closing.code, closing.reason)
        return
    await _accept(scope, send)
    try:
        await _serve(scope, workflow_id, ticket, receive, send)
    except Closing as closing:
        await _close(send, closing.code, closing.reason)
    except Left:
        pass


async def deny(scope: Event, send: Send, failure: Failure) -> None:
    """Answer a handshake with an error of the API instead of a connection, where the server can do that."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": TOO_MANY, "reason": failure.message})
        return
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **failure.headers}
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "websocket.http.response.start", "status": failure.status, "headers": pairs})
    await send({"type": "websocket.http.response.body", "body": orjson.dumps(failure.body(scope["path"]))})


async def _serve(scope: Event, workflow_id: UUID, ticket: Ticket, receive: Receive, send: Send) -> None:
    here = hub.current()
    try:
        await here.presence.take_seat(ticket.caller, limit=conf.get().LIVE_CONNECTIONS)
    except TooManyConnections as error:
        raise Closing(TOO_MANY, error.message) from error
    except psycopg.Error as error:
        raise _unreadable(error) from error
    subscription: Subscription | None = None
    try:
        subscription = await here.subscribe(ticket.workflow_id, ticket.execution_id)
        await _first_of(
            _read(receive, subscription, replies := _Replies(subscription)),
            _write(send, here, subscription, replies),
            _guard(scope, workflow_id, subscription),
        )
    except psycopg.Error as error:
        raise _unreadable(error) from error
    finally:
        if subscription is not None:
            here.unsubscribe(subscription)
        here.presence.leave_seat(ticket.caller)


def _unreadable(error: Exception) -> Closing:
    logger.warning("socket.unreadable", extra={"error": str(error)})
    return Closing(TRY_LATER, "The database cannot be reached; try again")


async def _first_of(*parts: Awaitable[None]) -> None:
    """Run until the first part ends, with its error; cancel the rest."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


class _Replies:
    """Answers to a client's messages, sent between the others."""

    LIMIT = 2 * int(RATE_BURST)

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._waiting: list[str] = []

    def put(self, reply: dict[str, Any]) -> None:
        if len(self._waiting) >= self.LIMIT:
            self._subscription.is_lost.set()
        else:
            self._waiting.append(orjson.dumps(reply).decode())
        self._subscription.wake()

    def take(self) -> list[str]:
        taken, self._waiting = self._waiting, []
        return taken


async def _read(receive: Receive, subscription: Subscription, replies: _Replies) -> None:
    allowance, counted_at = RATE_BURST, time.monotonic()
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            raise Left
        now = time.monotonic()
        allowance = min(RATE_BURST, allowance + (now - counted_at) * RATE_PER_SECOND) - 1.0
        counted_at = now
        if allowance < 0:
            raise Closing(POLICY, f"More than {RATE_PER_SECOND:.0f} messages a second")
        text = event.get("text")
        raw = text.encode() if text is not None else event.get("bytes") or b""
        if len(raw) > MESSAGE_LIMIT_BYTES:
            raise Closing(TOO_BIG, f"A message longer than {MESSAGE_LIMIT_BYTES} bytes")
        _answer(raw, subscription, replies)


def _answer(raw: bytes, subscription: Subscription, replies: _Replies) -> None:
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        replies.put(_error("INVALID_JSON", "The message is not JSON"))
        return
    if not isinstance(said, dict) or not isinstance(said.get("type"), str):
        replies.put(_error("INVALID_MESSAGE", 'A message is an object with a text "type"'))
    elif said["type"] == "ping":
        replies.put({"type": "pong"})
    elif said["type"] == "request_state":
        subscription.ask_state()
    else:
        replies.put(_error("UNKNOWN_TYPE", 'Known types: "ping", "request_state"'))


def _error(code: str, message: str) -> dict[str, Any]:
    return {"type": "error", "code": code, "error": message}


async def _write(send: Send, here: hub.Hub, subscription: Subscription, replies: _Replies) -> None:
    subscription.ask_state()
    try:
        while True:
            said = await subscription.next()
            if subscription.resync:
                subscription.resync = False
                state = await here.state(subscription)
                await send({"type": "websocket.send", "text": _state_sync(state)})
            async with asyncio.timeout(STUCK_SECONDS):
                for reply in replies.take():
                    await send({"type": "websocket.send", "text": reply})
                for message in said:
                    await send({"type": "websocket.send", "text": message.text})
            await asyncio.sleep(0)  # sends that need not wait let nobody else have a turn
    except (TooSlow, TimeoutError):
        raise Closing(TRY_LATER, TOO_SLOW) from None
    except OSError:
        raise Left from None


def _state_sync(state: dict[str, Any]) -> str:
    said = {"type": "state_sync", "state": state, "execution_id": state["execution_id"], "seq": state["seq"]}
    return orjson.dumps(said).decode()


async def _guard(scope: Event, workflow_id: UUID, subscription: Subscription) -> None:
    """End the connection when it is lost, or when the caller may not look on any more."""
    while True:
        try:
            async with asyncio.timeout(random.uniform(*RECHECK_SECONDS)):  # noqa: S311 - spreads load
                await subscription.is_lost.wait()
            raise Closing(TRY_LATER, TOO_SLOW)
        except TimeoutError:
            pass
        try:
            await handshake.admit_again(scope, workflow_id)
        except Refused as refused:
            raise Closing(refused.close_code, refused.message) from refused
        except DatabaseError as error:
            _unreadable(error)  # the next look may succeed


async def _accept(scope: Event, send: Send) -> None:
    offered = handshake.SUBPROTOCOL in scope.get("subprotocols", ())
    await send({"type": "websocket.accept", "subprotocol": handshake.SUBPROTOCOL if offered else None})


async def _close(send: Send, code: int, reason: str) -> None:
    """Say why the connection ends, unless the client takes nothing any more."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await send({"type": "websocket.close", "code": code, "reason": reason[:120]})
    except (TimeoutError, OSError, AutomateError):
        pass
