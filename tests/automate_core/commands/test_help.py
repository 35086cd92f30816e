"""What the help of our commands says, all of them."""

from __future__ import annotations

import pytest
from django.core.management import get_commands, load_command_class

OURS = sorted(name for name, app in get_commands().items() if app.startswith("automate"))


def test_every_documented_command_is_there() -> None:
    assert set(OURS) >= {
        "automate_apikey", "automate_deadletters", "automate_doctor", "automate_emit", "automate_execution",
        "automate_prune", "automate_run", "automate_webhook", "automate_worker", "outbox_reap",
    }  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_help_says_what_it_does_and_how_it_ends(name: str) -> None:
    command = load_command_class(get_commands()[name], name)
    shown = command.create_parser("manage.py", name).format_help()
    assert command.help.split()[0] in shown
    assert "exit codes: 0 " in shown
