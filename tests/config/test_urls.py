"""What the standalone project answers beside the API."""

from __future__ import annotations

from django.test import Client


def test_the_address_make_run_prints_leads_to_the_admin(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
