"""The connectors that come with the package."""

from automate_connectors.builtin.email import EmailConnector
from automate_connectors.builtin.http import HttpConnector
from automate_connectors.builtin.slack import SlackConnector

BUILTIN = (EmailConnector, HttpConnector, SlackConnector)

__all__ = ["BUILTIN", "EmailConnector", "HttpConnector", "SlackConnector"]
