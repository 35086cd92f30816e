from __future__ import annotations

import psycopg
import pytest

from benchmarks import idle


@pytest.mark.django_db(transaction=True)
def test_watch_times_every_statement_of_a_worker_and_leaves_the_driver_as_it_was():
    execute = psycopg.Cursor.execute

    polled = {"outbox: look for lanes", "outbox: reap", "schedules: due", "admission: who waits"}
    # Longer on a machine that is too slow to come to all of it.
    for seconds in (0.5, 2, 8, 32):
        took = idle.watch(seconds)
        if polled <= set(took):
            break

    assert polled <= set(took)
    assert all(milliseconds > 0 for times in took.values() for milliseconds in times)
    assert psycopg.Cursor.execute is execute
