from __future__ import annotations

import pytest

from benchmarks.measures import Measure, Target, Verdict, percentile
from benchmarks.table import render


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 50), (50.5, 51), (99, 99), (99.5, 100), (100, 100)]
)
def test_percentile_is_the_smallest_value_not_exceeded(percent, expected):
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_percentile_of_one_value_is_that_value():
    assert [percentile([7.0], percent) for percent in (0, 50, 99, 100)] == [7.0] * 4


def test_measure_ratio_is_the_median_over_pairs_not_the_ratio_of_medians():
    measure = Measure("m", "x/s", ours=[10.0, 100.0, 30.0], raw=[100.0, 100.0, 50.0])

    assert measure.ratio == 0.6
    assert (measure.median, measure.raw_median) == (30.0, 100.0)


@pytest.mark.parametrize(
    ("target", "ours", "raw", "verdict"),
    [
        (Target(0.35, aim=0.6, of_raw=True), 34.0, 100.0, Verdict.FAIL),
        (Target(0.35, aim=0.6, of_raw=True), 35.0, 100.0, Verdict.PASS),
        (Target(0.35, aim=0.6, of_raw=True), 60.0, 100.0, Verdict.AIM),
        (Target(30.0, at_most=True), 30.0, 4.0, Verdict.PASS),
        (Target(30.0, at_most=True), 30.1, 4.0, Verdict.FAIL),
        (None, 1.0, 1.0, Verdict.NONE),
    ],
)
def test_measure_verdict_compares_with_bound_and_aim(target, ours, raw, verdict):
    assert Measure("m", "x", ours=[ours], raw=[raw], target=target).verdict is verdict


def test_target_reads_as_a_sentence():
    assert str(Target(0.35, aim=0.6, of_raw=True)) == ">= 0.35 of raw (aim 0.6)"
    assert str(Target(10.0, at_most=True)) == "<= 10"


def test_render_shows_median_spread_ratio_target_and_verdict():
    measures = [
        Measure(
            "w1",
            "x/s",
            [900.0, 1200.0, 1000.0],
            [2000.0, 2000.0, 2000.0],
            Target(0.35, of_raw=True),
            [1.0, 2.5],
        ),
        Measure("p50", "ms", [12.34], target=Target(10.0, at_most=True)),
    ]

    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in render(measures).splitlines()]

    assert cells[0][0] == "measure"
    assert cells[2:] == [
        [
            "w1",
            "x/s",
            "1,000",
            "900..1,200",
            "2,000",
            "2,000..2,000",
            "0.50",
            ">= 0.35 of raw",
            "2.5",
            "pass",
        ],
        ["p50", "ms", "12.3", "12.3..12.3", "-", "-", "-", "<= 10", "-", "FAIL"],
    ]


def test_measure_as_dict_keeps_every_run():
    measure = Measure("w2", "items/s", [1.0, 3.0, 2.0], [4.0, 4.0, 4.0], Target(0.4, of_raw=True), [0.5])

    assert measure.as_dict() == {
        "name": "w2",
        "unit": "items/s",
        "median": 2.0,
        "runs": [1.0, 3.0, 2.0],
        "raw_median": 4.0,
        "raw_runs": [4.0, 4.0, 4.0],
        "ratio": 0.5,
        "target": ">= 0.4 of raw",
        "verdict": "pass",
        "load_average": [0.5],
    }
