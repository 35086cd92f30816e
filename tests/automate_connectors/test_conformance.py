"""Every connector passes the conformance suite."""

from __future__ import annotations

from automate_connectors.builtin import BUILTIN, EmailConnector, HttpConnector, SlackConnector
from automate_connectors.testing import ConnectorConformance, RecordingConnector


class TestEmail(ConnectorConformance):
    connector = EmailConnector


class TestHttp(ConnectorConformance):
    connector = HttpConnector


class TestSlack(ConnectorConformance):
    connector = SlackConnector


class TestRecorder(ConnectorConformance):
    connector = RecordingConnector


def test_every_builtin_connector_is_in_the_suite() -> None:
    assert {case.connector for case in (TestEmail, TestHttp, TestSlack)} == set(BUILTIN)
