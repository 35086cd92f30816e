"""What `make run` prints can be pasted and works."""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
from pathlib import Path

from automate.webhooks import signatures
from config import announcement

BASE = "http://127.0.0.1:7878"


def pasted(tmp_path: Path, secret: str) -> list[str]:
    """Run the line in a shell whose curl prints its arguments."""
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nfor a in "$@"; do printf \'%s\\0\' "$a"; done\n')
    curl.chmod(0o755)
    line = announcement.signed_curl(BASE, "demo", secret)
    done = subprocess.run(
        ["sh", "-c", line], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.split("\0")[:-1]


def test_the_curl_line_is_signed_over_its_body(tmp_path: Path) -> None:
    arguments = pasted(tmp_path, "it's $ecret")
    headers = dict(part.split(": ", 1) for flag, part in itertools.pairwise(arguments) if flag == "-H")
    body = arguments[arguments.index("-d") + 1]

    assert arguments[1] == f"{BASE}/api/automate/webhooks/demo/"
    assert json.loads(body) == announcement.PAYLOAD
    assert headers["X-GitHub-Event"] == "issues"
    signatures.verify(
        "github",
        headers={name.lower(): value for name, value in headers.items()},
        body=body.encode(),
        secrets=[b"it's $ecret"],
        now=0.0,
    )


def test_each_paste_is_a_delivery_of_its_own(tmp_path: Path) -> None:
    first, second = (
        next(part for part in pasted(tmp_path, "s") if part.startswith("X-GitHub-Delivery")) for _ in range(2)
    )

    assert first != second


def test_the_announcement_tells_what_was_made_only_then() -> None:
    new = announcement.compose(BASE, {"password": "p-1", "api_key": "ak_1", "webhook": None})
    old = announcement.compose(BASE, {"password": None, "api_key": None, "webhook": None})

    assert "user admin, password p-1 (shown only now)" in new
    assert "ak_1 (shown only now)" in new
    assert "changepassword admin" in old
    assert "automate_apikey create --name" in old
    assert "curl" not in new


def test_unready_says_when_nothing_answers() -> None:
    assert announcement.unready("127.0.0.1", 1).startswith("the web process does not answer")


def test_a_line_has_no_newline_to_break_pasting() -> None:
    assert len(announcement.signed_curl(BASE, "demo", "s").splitlines()) == 1
    assert shlex.split(announcement.signed_curl(BASE, "demo", "s"))[0] == "curl"
