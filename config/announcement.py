"""What `make run` prints when it is ready: where to look, how to log in, a webhook to send."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
from typing import Any

MANAGE = ".venv/bin/python manage.py"

PAYLOAD = {
    "action": "opened",
    "issue": {"number": 1, "title": "Hello from the demo"},
    "repository": {"full_name": "octo-org/octo-repo"},
    "sender": {"login": "octocat"},
}
"""The fields of a GitHub `issues` delivery that the demo workflow reads."""


def compose(base: str, found: dict[str, Any]) -> str:
    """Return the announcement.

    Args:
        base: `http://host:port` of the web process.
        found: what `config.prepare` printed: `password` and `api_key` when they were just made, and `webhook`
            (its `slug` and `secret`) while the demo source exists.
    """
    login = (
        f"user admin, password {found['password']} (shown only now)"
        if found["password"]
        else f"user and password as before (forgotten: {MANAGE} changepassword admin)"
    )
    key = (
        f"{found['api_key']} (shown only now)"
        if found["api_key"]
        else f"make one: {MANAGE} automate_apikey create --name me"
    )
    lines = [
        "",
        f"Django Automate runs at {base}/",
        "",
        f"  Admin     {base}/admin/",
        f"  Login     {login}",
        f"  API key   {key}",
        f"  API docs  {base}/api/schema/swagger-ui/",
        "",
    ]
    if found["webhook"]:
        lines += [
            "Log in, open the demo workflow's live page, then send its webhook and watch it run:",
            "",
            f"  {base}/studio/live/{found['webhook']['slug']}/",
            signed_curl(base, found["webhook"]["slug"], found["webhook"]["secret"]),
            "",
            "Every execution is kept in the admin:",
            "",
            f"  {base}/admin/automate/execution/",
            "",
        ]
    return "\n".join([*lines, "Ctrl-C stops everything."])


def signed_curl(base: str, slug: str, secret: str) -> str:
    """Return a shell line that delivers PAYLOAD as GitHub would; each paste is a delivery of its own.

    Signed as in https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries.
    """
    body = json.dumps(PAYLOAD, separators=(",", ":"))
    signature = hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    return (
        f"  curl -i {base}/api/automate/webhooks/{slug}/ -H 'Content-Type: application/json'"
        f" -H 'X-GitHub-Event: issues' -H \"X-GitHub-Delivery: $(date +%s%N)\""
        f" -H 'X-Hub-Signature-256: sha256={signature}' -d '{body}'"
    )


def unready(host: str, port: int) -> str:
    """Return why the web process is not ready yet; empty when it is."""
    link = http.client.HTTPConnection(host, port, timeout=5)
    try:
        link.request("GET", "/readyz")
        answer = link.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"the web process does not answer ({error})"
    finally:
        link.close()
    if answer.status == 200:
        return ""
    try:
        return "; ".join(f"{reason['message']} ({reason['hint']})" for reason in json.loads(body)["reasons"])
    except (ValueError, KeyError):
        return f"/readyz answers {answer.status}"
