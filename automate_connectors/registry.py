"""The connectors this process knows, by key."""

from __future__ import annotations

from automate_connectors.base import ActionSpec, Connector
from automate_core.registry import Registry


class ConnectorRegistry(Registry[type[Connector]]):
    """Connector classes by key, filled in `AppConfig.ready`."""

    def register(self, name: str, entry: type[Connector]) -> type[Connector]:
        """Add a connector class under `name`.

        A class defined again in the same place (a reload) takes over; another class is refused.

        Raises:
            DuplicateEntry: another connector holds the key.
        """
        held = self._entries.get(name)
        if held is not None and (held.__module__, held.__qualname__) == (
            entry.__module__,
            entry.__qualname__,
        ):
            self._entries[name] = entry
        return super().register(name, entry)

    def get_connector(self, key: str) -> type[Connector]:
        """Return a connector class; raises UnknownEntry naming the closest known keys."""
        return self.get(key)

    def list_connectors(self) -> list[str]:
        """Return all connector keys in alphabetical order."""
        return list(self)

    def find_action(self, step_type: str) -> tuple[type[Connector], ActionSpec] | None:
        """Return the connector and action a step type such as `slack.send_message` names, if there is one."""
        key, _, action = step_type.partition(".")
        if key not in self:
            return None
        connector = self.get(key)
        return next(((connector, spec) for spec in connector.actions() if spec.name == action), None)


registry = ConnectorRegistry("connector")
