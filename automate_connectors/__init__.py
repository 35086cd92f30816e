"""Connectors: adapters to outside systems, and the registry that finds them."""

from automate_connectors.base import ActionSpec, Connector, ConnectorContext, TriggerSpec
from automate_connectors.registry import registry

__all__ = ["ActionSpec", "Connector", "ConnectorContext", "TriggerSpec", "registry"]
