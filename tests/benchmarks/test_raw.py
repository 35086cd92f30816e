from __future__ import annotations

import psycopg
import pytest

from benchmarks import orders, raw


@pytest.mark.parametrize("record", [raw.by_batch, raw.by_layer])
def test_raw_engine_records_three_steps_and_a_finished_execution_for_each_order(url, record):
    raw.fill(url, 0)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(raw.ENQUEUE, ([orders.body(number, 1.0).decode() for number in (15, 16)],))

        record(connection, connection.execute(raw.CLAIM, (100,)).fetchall())

        assert connection.execute(
            "SELECT context->'data'->>'i', status, finished_at >= started_at FROM execution ORDER BY id"
        ).fetchall() == [("15", "SUCCESS", True), ("16", "SUCCESS", True)]
        assert connection.execute(
            "SELECT node, status, output->>'total', output->>'branch' FROM step ORDER BY execution_id, number"
        ).fetchall() == [
            ("set", "SUCCESS", None, None),
            ("transform", "SUCCESS", "210", None),
            ("condition", "SUCCESS", "210", "high"),
            ("set", "SUCCESS", None, None),
            ("transform", "SUCCESS", "212", None),
            ("condition", "SUCCESS", "212", "high"),
        ]
        assert connection.execute("SELECT state, count(*) FROM outbox GROUP BY state").fetchall() == [(2, 2)]


def test_raw_drain_delivers_every_item(url):
    raw.fill(url, 250)

    assert raw.drain(url) > 0

    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT state, count(*) FROM outbox GROUP BY state").fetchall() == [
            (2, 250)
        ]


def test_raw_sequence_records_every_step(url):
    raw.fill(url, 0)

    assert raw.sequence(url, steps=5) > 0

    with psycopg.connect(url) as connection:
        assert connection.execute(
            "SELECT (output->>'n')::int FROM step"
            " WHERE execution_id = (SELECT max(execution_id) FROM step) ORDER BY number"
        ).fetchall() == [(1,), (2,), (3,), (4,), (5,)]
