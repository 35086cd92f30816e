from __future__ import annotations

import pytest

from benchmarks.__main__ import main


def test_command_names_the_workloads_when_one_is_unknown(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["w9"])

    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "python -m benchmarks: error: unknown workload 'w9'; "
        "choose from w1, w1-effects, latency, w2, w3, engine, rules, http"
    )
