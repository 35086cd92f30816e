"""When schedules fire: calendars, clock changes, bad configurations, and the laws every schedule keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automate.cron import (
    EPOCH,
    INTERVAL_LIMIT_SECONDS,
    CronSchedule,
    IntervalSchedule,
    InvalidSchedule,
    Schedule,
)
from automate_core.errors import ErrorCodes


def at(text: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cron(expression: str, timezone: str = "UTC") -> Schedule:
    """Return a cron schedule."""
    return Schedule.parse({"cron": expression, "timezone": timezone})


def firings(schedule: Schedule, after: str, count: int) -> list[datetime]:
    """Return the next firings after a moment."""
    moment, fired = at(after), []
    for _ in range(count):
        moment = schedule.next_after(moment)
        fired.append(moment)
    return fired


def problem_fields(config: dict[str, Any]) -> list[str]:
    """Return the fields a configuration is refused for."""
    with pytest.raises(InvalidSchedule) as caught:
        Schedule.parse(config)
    assert caught.value.code == ErrorCodes.VALIDATION_ERROR
    return [problem.field for problem in caught.value.details]


def test_cron_fires_strictly_after_the_moment() -> None:
    nine = cron("0 9 * * *")
    assert nine.next_after(at("2026-01-05 08:59:59.999999")) == at("2026-01-05 09:00")
    assert nine.next_after(at("2026-01-05 09:00")) == at("2026-01-06 09:00")
    assert nine.next_after(at("2026-01-05 09:00:00.000001")) == at("2026-01-06 09:00")


def test_cron_answers_in_utc() -> None:
    fire = cron("0 9 * * *", "Europe/Berlin").next_after(at("2026-01-05 00:00"))
    assert (fire, fire.tzinfo) == (at("2026-01-05 08:00"), UTC)


def test_cron_takes_a_moment_in_any_zone() -> None:
    moment = datetime(2026, 1, 5, 9, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    assert cron("0 9 * * *", "Europe/Berlin").next_after(moment) == at("2026-01-06 08:00")


def test_cron_skips_the_weekend() -> None:
    assert firings(cron("0 9 * * 1-5", "Europe/Berlin"), "2026-01-08 12:00", 2) == [
        at("2026-01-09 08:00"),
        at("2026-01-12 08:00"),
    ]


def test_cron_takes_names_in_any_case() -> None:
    assert cron("0 0 1 jan mon").next_after(at("2026-01-02 00:00")) == at("2026-01-05 00:00")


def test_cron_matches_either_day_field_when_neither_starts_with_a_star() -> None:
    assert firings(cron("0 0 13 * 5"), "2026-01-01 00:00", 4) == [
        at("2026-01-02 00:00"),
        at("2026-01-09 00:00"),
        at("2026-01-13 00:00"),
        at("2026-01-16 00:00"),
    ]


def test_cron_waits_for_a_leap_day() -> None:
    assert firings(cron("0 0 29 2 *"), "2026-01-01 00:00", 2) == [
        at("2028-02-29 00:00"),
        at("2032-02-29 00:00"),
    ]


def test_cron_waits_out_the_century_without_a_leap_day() -> None:
    assert cron("0 0 29 2 *").next_after(at("2096-02-29 00:00")) == at("2104-02-29 00:00")


def test_cron_skips_months_without_the_day() -> None:
    assert firings(cron("0 0 31 * *"), "2026-01-31 00:00", 3) == [
        at("2026-03-31 00:00"),
        at("2026-05-31 00:00"),
        at("2026-07-31 00:00"),
    ]


def test_cron_finds_the_last_day_of_each_month() -> None:
    assert firings(cron("0 0 L * *"), "2027-12-31 12:00", 3) == [
        at("2028-01-31 00:00"),
        at("2028-02-29 00:00"),
        at("2028-03-31 00:00"),
    ]


def test_cron_wraps_the_year() -> None:
    assert cron("59 23 31 12 *").next_after(at("2026-12-31 23:59")) == at("2027-12-31 23:59")
    assert cron("*/5 * * * *").next_after(at("2026-12-31 23:55")) == at("2027-01-01 00:00")


def test_daily_job_fires_once_when_its_time_does_not_exist() -> None:
    # Berlin jumps from 02:00 to 03:00 local time at 01:00 UTC.
    assert firings(cron("30 2 * * *", "Europe/Berlin"), "2026-03-28 00:00", 3) == [
        at("2026-03-28 01:30"),
        at("2026-03-29 01:00"),
        at("2026-03-30 00:30"),
    ]


def test_daily_job_fires_once_when_its_time_comes_twice() -> None:
    # Berlin goes back from 03:00 to 02:00 local time at 01:00 UTC.
    assert firings(cron("30 2 * * *", "Europe/Berlin"), "2026-10-24 00:00", 3) == [
        at("2026-10-24 00:30"),
        at("2026-10-25 00:30"),
        at("2026-10-26 01:30"),
    ]


def test_daily_job_asked_during_the_repeated_hour_waits_for_the_next_day() -> None:
    job = cron("30 2 * * *", "Europe/Berlin")
    assert job.next_after(at("2026-10-25 01:00")) == at("2026-10-26 01:30")
    assert job.next_after(at("2026-10-25 01:15")) == at("2026-10-26 01:30")


def test_two_firings_in_the_missing_hour_become_one() -> None:
    assert firings(cron("15,45 2,3 * * *", "Europe/Berlin"), "2026-03-29 00:00", 3) == [
        at("2026-03-29 01:00"),
        at("2026-03-29 01:15"),
        at("2026-03-29 01:45"),
    ]


def test_hourly_job_follows_the_passing_of_time_through_clock_changes() -> None:
    hourly = cron("0 * * * *", "Europe/Berlin")
    assert firings(hourly, "2026-03-28 23:30", 3) == [
        at("2026-03-29 00:00"),
        at("2026-03-29 01:00"),
        at("2026-03-29 02:00"),
    ]
    assert firings(hourly, "2026-10-24 23:30", 4) == [
        at("2026-10-25 00:00"),
        at("2026-10-25 01:00"),
        at("2026-10-25 02:00"),
        at("2026-10-25 03:00"),
    ]


def test_any_minute_of_a_missing_hour_does_not_fire() -> None:
    assert cron("*/30 2 * * *", "Europe/Berlin").next_after(at("2026-03-28 02:00")) == at("2026-03-30 00:00")


def test_daily_job_at_a_midnight_that_does_not_exist_fires_when_the_day_starts() -> None:
    # Santiago jumps from 00:00 to 01:00 local time at 04:00 UTC.
    job = cron("0 0 * * *", "America/Santiago")
    assert firings(job, "2026-09-05 12:00", 2) == [at("2026-09-06 04:00"), at("2026-09-07 03:00")]


def test_timezone_is_utc_unless_given() -> None:
    assert Schedule.parse({"cron": "0 9 * * *"}) == CronSchedule("0 9 * * *", UTC)


def test_interval_counts_from_its_anchor() -> None:
    schedule = Schedule.parse({"interval_seconds": 90}, anchor=at("2026-01-01 00:00:10"))
    assert firings(schedule, "2026-01-01 00:00:10", 2) == [
        at("2026-01-01 00:01:40"),
        at("2026-01-01 00:03:10"),
    ]
    assert schedule.next_after(at("2026-01-01 00:01:39.999999")) == at("2026-01-01 00:01:40")
    assert schedule.next_after(at("2025-12-31 23:59:00")) == at("2026-01-01 00:00:10")


def test_interval_counts_from_the_epoch_unless_told() -> None:
    assert Schedule.parse({"interval_seconds": 60}) == IntervalSchedule(timedelta(seconds=60), EPOCH)


def test_interval_is_the_same_length_when_the_clock_changes() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    schedule = Schedule.parse({"interval_seconds": 86_400}, anchor=datetime(2026, 3, 28, 9, 0, tzinfo=berlin))
    assert schedule.next_after(datetime(2026, 3, 28, 9, 0, tzinfo=berlin)) == at("2026-03-29 08:00")


def test_interval_takes_its_limits() -> None:
    assert problem_fields({"interval_seconds": 0}) == ["interval_seconds"]
    assert problem_fields({"interval_seconds": INTERVAL_LIMIT_SECONDS + 1}) == ["interval_seconds"]
    assert firings(Schedule.parse({"interval_seconds": 1}), "2026-01-01 00:00", 1) == [
        at("2026-01-01 00:00:01")
    ]
    assert Schedule.parse({"interval_seconds": INTERVAL_LIMIT_SECONDS}).next_after(
        EPOCH
    ) == EPOCH + timedelta(days=366)


@pytest.mark.parametrize("value", [-1, 1.5, "60", True, [60], {}])
def test_interval_that_is_no_whole_number_is_refused(value: object) -> None:
    assert problem_fields({"interval_seconds": value}) == ["interval_seconds"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "* * * *",
        "0 * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "@daily",
        "1,2," * 100 + "3 * * * *",
        "9" * 200 + " * * * *",
        "\x00 * * * *",
        5,
        ["0", "9", "*", "*", "*"],
    ],
)
def test_cron_that_cannot_fire_is_refused(text: object) -> None:
    assert problem_fields({"cron": text}) == ["cron"]


def test_bad_cron_message_says_what_is_wrong_and_what_to_write() -> None:
    with pytest.raises(InvalidSchedule) as caught:
        Schedule.parse({"cron": "0 25 * * *"})
    assert [problem.message for problem in caught.value.details] == [
        "Bad hour in '0 25 * * *'; give five fields (minute hour day-of-month month day-of-week), "
        "for example '0 9 * * 1-5'"
    ]


@pytest.mark.parametrize(
    "zone",
    ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "America", "a\0b", "x" * 5000, "\ud800", 5, ["UTC"]],
)
def test_unknown_timezone_is_refused(zone: object) -> None:
    assert problem_fields({"cron": "0 9 * * *", "timezone": zone}) == ["timezone"]
    assert problem_fields({"interval_seconds": 60, "timezone": zone}) == ["timezone"]


def test_every_problem_is_named_at_once() -> None:
    assert problem_fields({"cron": "x", "timezone": "y"}) == ["timezone", "cron"]


def test_exactly_one_of_cron_and_interval_is_wanted() -> None:
    assert problem_fields({}) == ["cron"]
    assert problem_fields({"cron": "* * * * *", "interval_seconds": 60}) == ["interval_seconds"]


def test_naive_moments_are_refused() -> None:
    naive = datetime(2026, 1, 1)
    for schedule in (cron("* * * * *"), Schedule.parse({"interval_seconds": 60})):
        with pytest.raises(ValueError, match="aware"):
            schedule.next_after(naive)
    with pytest.raises(ValueError, match="aware"):
        Schedule.parse({"interval_seconds": 60}, anchor=naive)


def test_missed_between_excludes_the_last_and_includes_now() -> None:
    assert cron("0 * * * *").missed_between(at("2026-01-01 00:00"), at("2026-01-01 02:00"), 10) == (
        at("2026-01-01 01:00"),
        at("2026-01-01 02:00"),
    )


def test_missed_between_keeps_the_newest() -> None:
    hourly = cron("0 * * * *")
    assert hourly.missed_between(at("2025-01-01 00:00"), at("2026-01-01 02:30"), 2) == (
        at("2026-01-01 01:00"),
        at("2026-01-01 02:00"),
    )
    assert hourly.missed_between(at("2025-01-01 00:00"), at("2026-01-01 02:30"), 0) == ()


def test_missed_between_reaches_back_to_a_rare_firing() -> None:
    yearly = cron("0 0 1 1 *")
    assert yearly.missed_between(at("2020-06-01 00:00"), at("2026-06-01 00:00"), 2) == (
        at("2025-01-01 00:00"),
        at("2026-01-01 00:00"),
    )


def test_missed_between_tells_the_repeated_hour_apart() -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert cron("0 * * * *").missed_between(first, first.replace(fold=1), 5) == (at("2026-10-25 01:00"),)


def test_missed_between_is_empty_when_nothing_was_due() -> None:
    daily = cron("0 9 * * *")
    assert daily.missed_between(at("2026-01-01 09:00"), at("2026-01-02 08:59"), 5) == ()
    assert daily.missed_between(at("2026-01-02 00:00"), at("2026-01-01 00:00"), 5) == ()


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "America/Havana", "Asia/Kathmandu"]
HALF_HOUR_ZONE = "Australia/Lord_Howe"
EXPRESSIONS = ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 */2 * * *", "15,45 1-3 * * *", "0 0 * * *"]
EXPRESSIONS += ["0 9 * * 1-5", "59 23 L * *", "0 0 29 2 *", "30 1 13 * 5", "*/20 2 * 3,10 SUN"]

moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
near_changes = st.builds(
    lambda change, seconds: at(change) + timedelta(seconds=seconds),
    st.sampled_from(
        ["2026-03-29 01:00", "2026-10-25 01:00", "2026-03-08 07:00", "2026-11-01 06:00", "2026-09-06 04:00"]
    ),
    st.integers(-90_000, 90_000),
)
schedules = st.one_of(
    st.builds(cron, st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES)),
    st.builds(
        lambda seconds, anchor: Schedule.parse({"interval_seconds": seconds}, anchor=anchor),
        st.integers(1, 10_000_000),
        moments,
    ),
)


@settings(deadline=None, max_examples=300)
@given(schedule=schedules, moment=moments | near_changes, part=st.floats(0, 1, exclude_max=True))
def test_next_after_is_later_and_the_same_from_any_moment_before_it(
    schedule: Schedule, moment: datetime, part: float
) -> None:
    fire = schedule.next_after(moment)
    assert fire > moment
    between = min(moment + (fire - moment) * part, fire - timedelta(microseconds=1))
    assert schedule.next_after(between) == fire
    assert schedule.next_after(fire) > fire


@settings(deadline=None, max_examples=100)
@given(expression=st.sampled_from(EXPRESSIONS), seconds=st.integers(-90_000, 90_000))
def test_next_after_is_later_where_the_clock_changes_by_half_an_hour(expression: str, seconds: int) -> None:
    moment = at("2026-04-04 15:00") + timedelta(seconds=seconds)
    assert cron(expression, HALF_HOUR_ZONE).next_after(moment) > moment


@settings(deadline=None, max_examples=100)
@given(schedule=schedules, last=near_changes, hours=st.integers(0, 200), limit=st.integers(0, 5))
def test_missed_between_is_the_end_of_the_whole_list(
    schedule: Schedule, last: datetime, hours: int, limit: int
) -> None:
    now = last + timedelta(
        hours=min(hours, 3) if schedule.next_after(last) - last < timedelta(hours=1) else hours
    )
    every = []
    moment = schedule.next_after(last)
    while moment <= now:
        every.append(moment)
        moment = schedule.next_after(moment)
    assert schedule.missed_between(last, now, limit) == tuple(
        every[len(every) - limit :] if limit < len(every) else every
    )


@settings(deadline=None)
@given(text=st.text(alphabet="0123456789*/,-#LW SUNJA\t\n²é", max_size=40) | st.text(max_size=300))
def test_parse_of_any_text_is_a_schedule_or_a_refusal(text: str) -> None:
    try:
        schedule = Schedule.parse({"cron": text, "timezone": "Europe/Berlin"})
    except InvalidSchedule:
        return
    assert schedule.next_after(at("2026-01-01 00:00")) > at("2026-01-01 00:00")
