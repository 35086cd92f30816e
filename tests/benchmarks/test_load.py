from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import psycopg
import pytest

from benchmarks import load, orders
from benchmarks.load import Load, Refused


class Counting(ThreadingHTTPServer):
    """Counts orders and refuses those with a number in `refuse`."""

    def __init__(self, refuse: set[int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuse = refuse
        self.seen: list[int] = []
        self.badly_signed: list[int] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Counting

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        number = json.loads(content)["data"]["i"]
        self.server.seen.append(number)
        if self.headers[orders.SIGNATURE_HEADER] != orders.signature(content, "s3cret"):
            self.server.badly_signed.append(number)
        answer = b'{"error":"no"}' if number in self.server.refuse else b"{}"
        self.send_response(429 if number in self.server.refuse else 202)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def refuse() -> set[int]:
    return set()


@pytest.fixture
def server(refuse: set[int]) -> Iterator[Counting]:
    with Counting(refuse) as listening:
        thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def given(server: Counting, **changes: object) -> Load:
    port = server.server_address[1]
    return Load(
        **{"port": port, "path": "/hook", "secret": "s3cret", "count": 25, "concurrency": 4, **changes}
    )


def test_apply_sends_each_signed_order_once(server):
    outcome = load.apply(given(server, first=100), timeout=60)

    assert sorted(server.seen) == list(range(100, 125))
    assert server.badly_signed == []
    assert outcome.statuses == {202: 25}
    assert (len(outcome.sent), len(outcome.seconds)) == (25, 25)


def test_apply_paces_the_orders_in_their_sequence(server):
    outcome = load.apply(given(server, rate=20.0), timeout=60)

    assert server.seen == list(range(25))
    assert outcome.sent == sorted(outcome.sent)
    # The first may be sent late; the last is not sent early.
    assert outcome.sent[-1] - outcome.sent[0] >= 0.5 * 24 / 20


@pytest.mark.parametrize("refuse", [{3}])
def test_apply_refuses_to_measure_answers_other_than_2xx(server):
    with pytest.raises(Refused, match=r'429: 1.*\{"error":"no"\}'):
        load.apply(given(server), timeout=60)


def test_apply_waits_after_each_paced_order_until_the_store_has_one_more(server, url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE reads")
        watch = load.Watch(url, "SELECT nextval('reads') / 10")

        outcome = load.apply(given(server, rate=1000.0, count=5, watch=watch), timeout=60)

        # The first read finds 0 successes; success number n is seen by read 10 n.
        assert connection.execute("SELECT last_value FROM reads").fetchone() == (50,)
    assert len(outcome.visible_seconds) == 5
    assert all(
        seen > answered for seen, answered in zip(outcome.visible_seconds, outcome.seconds, strict=True)
    )


def test_outcome_rate_runs_from_the_first_send_to_the_last_answer():
    outcome = load.Outcome(sent=[10.0, 11.0], seconds=[0.5, 1.0], statuses={202: 2})

    assert (outcome.started_at, outcome.per_second) == (10.0, 1.0)
