"""Static files are served by the application itself, under ASGI and WSGI."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.http import HttpResponse
from django.test import AsyncClient, Client

FILE = "/static/admin/css/base.css"


async def _get(path: str, **headers: str) -> HttpResponse:
    return await AsyncClient().get(path, headers=headers)


def test_a_static_file_is_served_under_wsgi(client: Client) -> None:
    answer = client.get(FILE)

    assert answer.status_code == 200
    assert b"--primary" in b"".join(answer.streaming_content)


def test_a_static_file_is_served_under_asgi() -> None:
    answer = async_to_sync(_get)(FILE)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/css")
    assert b"--primary" in answer.content
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_an_unchanged_file_is_not_sent_again() -> None:
    first = async_to_sync(_get)(FILE)
    again = async_to_sync(_get)(FILE, **{"if-modified-since": first.headers["Last-Modified"]})

    assert (again.status_code, again.content) == (304, b"")


def test_no_file_is_reached_outside_the_static_directories() -> None:
    assert async_to_sync(_get)("/static/../config/settings/base.py").status_code == 404
