from __future__ import annotations

import pytest

from benchmarks.__main__ import main
from benchmarks.workloads import ALIASES, WORKLOADS


def test_command_names_the_workloads_when_one_is_unknown(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["w9"])

    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"python -m benchmarks: error: unknown workload 'w9'; choose from {', '.join(WORKLOADS)}"
    )


def test_every_other_name_is_that_of_a_workload():
    assert set(ALIASES.values()) <= set(WORKLOADS)
    assert ALIASES["steps40"] == "w3"
    assert {"foreach", "parallel", "waiting", "schedules"} <= set(WORKLOADS)
