from __future__ import annotations

import os
import sys

import pytest

from benchmarks import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
PID = os.getpid()


def test_peak_keeps_what_was_given_back_until_it_is_forgotten():
    memory.forget_peak(PID)
    before = memory.resident_mb(PID)
    block = bytearray(64 * 1024 * 1024)
    block[::4096] = b"x" * len(block[::4096])
    del block

    assert memory.peak_mb(PID) >= before + 60
    memory.forget_peak(PID)
    assert memory.peak_mb(PID) < before + 60


def test_cpu_seconds_grow_with_work():
    before = memory.cpu_seconds(PID)
    while memory.cpu_seconds(PID) == before:
        sum(range(10_000))
    assert memory.cpu_seconds(PID) > before
