"""Timetables: spread, bounds, and what becomes of fires nobody looked at; times are literal, no clock is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from automate.cron import InvalidSchedule
from automate.timetable import LATE, Fire, Timetable, parse_moment

NOW = datetime(2026, 5, 1, 9, 0, tzinfo=UTC)
HOURLY = {"cron": "0 * * * *"}


def at(hour, minute=0, day=1):
    return datetime(2026, 5, day, hour, minute, tzinfo=UTC)


def table(config=HOURLY, *, seed="a", **more):
    return Timetable.parse({**config, **more}, seed=seed)


def owed(timetable, due, now):
    fires, following = timetable.owed(due, now)
    return [fire.at for fire in fires], following.at if following else None


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        ({"jitter_seconds": -1}, ["jitter_seconds"]),
        ({"jitter_seconds": 1.5}, ["jitter_seconds"]),
        ({"jitter_seconds": 86_401}, ["jitter_seconds"]),
        ({"jitter_seconds": True}, ["jitter_seconds"]),
        ({"missed": "some"}, ["missed"]),
        ({"missed": ["one"]}, ["missed"]),
        ({"missed_limit": 0}, ["missed_limit"]),
        ({"missed_limit": 1_001}, ["missed_limit"]),
        ({"start_at": "2026-05-01"}, ["start_at"]),
        ({"start_at": 5}, ["start_at"]),
        ({"end_at": "2026-05-01T09:00:00"}, ["end_at"]),
        ({"start_at": "2026-05-02T00:00:00Z", "end_at": "2026-05-01T00:00:00Z"}, ["end_at"]),
        ({"anchor": "2026-05-02T00:00:00Z"}, ["anchor"]),
        ({"cron": "x", "missed": "x"}, ["cron", "missed"]),
    ],
)
def test_problems_name_the_field(config, fields):
    with pytest.raises(InvalidSchedule) as caught:
        table(**config)
    assert [problem.field for problem in caught.value.details] == fields


def test_moment_needs_an_offset_and_comes_in_utc():
    assert parse_moment("2026-05-01T11:00:00+02:00") == NOW
    with pytest.raises(ValueError, match="offset"):
        parse_moment("2026-05-01T11:00:00")


def test_interval_counts_from_its_anchor():
    timetable = table({"interval_seconds": 3600}, anchor="2026-05-01T00:10:00Z")
    assert timetable.next_after(NOW) == Fire(at(9, 10), at(9, 10))


def test_start_and_end_bound_the_fires_and_may_fire_themselves():
    timetable = table(start_at="2026-05-01T12:00:00Z", end_at="2026-05-01T14:00:00Z")
    assert timetable.next_after(NOW).at == at(12)
    assert [fire.at for fire in timetable.named_between(at(0), at(23))] == [at(12), at(13), at(14)]
    assert timetable.next_after(at(14)) is None
    assert owed(timetable, at(14), at(14)) == ([at(14)], None)
    assert owed(table(end_at="2026-05-01T14:00:00Z", missed="all"), at(13), at(20)) == (
        [at(13), at(14)],
        None,
    )


def test_span_has_its_beginning_and_not_its_end():
    assert [fire.at for fire in table().named_between(at(9), at(11))] == [at(9), at(10)]


@pytest.mark.parametrize(
    ("more", "fires"),
    [
        ({}, [at(12)]),
        ({"missed": "one"}, [at(12)]),
        ({"missed": "all"}, [at(9), at(10), at(11), at(12)]),
        ({"missed": "all", "missed_limit": 2}, [at(11), at(12)]),
        ({"missed": "skip"}, []),
    ],
)
def test_missed_fires_do_what_the_policy_says_and_the_next_comes_after_now(more, fires):
    assert owed(table(**more), at(9), at(12, 30)) == (fires, at(13))


@pytest.mark.parametrize("missed", ["skip", "one", "all"])
def test_fire_in_time_happens_under_every_policy(missed):
    assert owed(table(missed=missed), at(9), at(9) + LATE) == ([at(9)], at(10))


def test_skip_keeps_the_latest_when_that_one_is_in_time():
    assert owed(table(missed="skip"), at(9), at(12)) == ([at(12)], at(13))


def test_spread_is_the_same_each_time_and_differs_between_triggers():
    timetables = [table(jitter_seconds=600, seed=str(number)) for number in range(200)]
    dues = [timetable.next_after(NOW).due for timetable in timetables]
    assert dues == [timetable.next_after(NOW).due for timetable in timetables]
    late = [(due - at(10)).total_seconds() for due in dues]
    assert min(late) >= 0
    assert max(late) < 600
    assert len(set(late)) > 190
    assert {timetable.next_after(NOW).at for timetable in timetables} == {at(10)}


def test_spread_never_reaches_the_next_fire():
    for number in range(50):
        timetable = table({"interval_seconds": 10}, jitter_seconds=3600, seed=str(number))
        fires = list(timetable.named_between(NOW, NOW + timedelta(minutes=2)))
        assert len(fires) == 12
        assert all(fire.due < following.at for fire, following in pairwise(fires))


def test_spread_fire_is_known_by_the_time_the_schedule_names():
    for number in range(50):
        timetable = table(jitter_seconds=3600, seed=str(number))
        fire = timetable.next_after(NOW)
        fires, following = timetable.owed(fire.due, fire.due)
        assert (fires, following.at) == ([fire], at(11))


def test_spread_fire_that_is_not_due_yet_is_waited_for():
    for number in range(50):
        timetable = table(jitter_seconds=3600, missed="all", seed=str(number))
        first = timetable.next_after(NOW)
        fires, following = timetable.owed(first.due, at(12, 30))
        assert all(fire.due <= at(12, 30) for fire in fires)
        assert following.due > at(12, 30)
        assert [*(fire.at for fire in fires), following.at] == [at(10 + n) for n in range(len(fires) + 1)]
