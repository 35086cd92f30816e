from __future__ import annotations

from benchmarks.profiling import HotSpot, hot_spots

STACKS = """\
process 7:"python manage.py";main (app/run.py:3);loop (app/run.py:10);parse (lib/json/decoder.py:5) 2
process 7:"python manage.py" 50
main (app/run.py:3);loop (app/run.py:10);parse (lib/json/decoder.py:5) 4
main (app/run.py:3);loop (app/run.py:12);commit (<frozen db>:1) 3
main (app/run.py:1);_find_and_load (<frozen importlib._bootstrap>:1176);<module> (lib/json/decoder.py:1) 90
main (app/run.py:4);loop (app/run.py:12);loop (app/run.py:12) 1
"""


def test_hot_spots_sum_lines_count_recursion_once_and_leave_imports_out():
    assert hot_spots(STACKS) == [
        HotSpot("parse (lib/json/decoder.py)", 60.0, 60.0),
        HotSpot("commit (<frozen db>)", 30.0, 30.0),
        HotSpot("loop (app/run.py)", 10.0, 100.0),
        HotSpot("main (app/run.py)", 0.0, 100.0),
    ]
