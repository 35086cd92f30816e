"""The settings of workflow versions, read once each: a version never changes, so neither do they."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import orjson

from automate.graph.settings import GraphSettings, parse_settings
from automate_core import sql

KEEP = 1_000

_READ = """
SELECT id::text, (graph -> 'settings')::text FROM automate_workflowversion WHERE id = ANY(%(ids)s::uuid[])
"""

_settings: OrderedDict[str, GraphSettings] = OrderedDict()


def of_versions(version_ids: Iterable[str]) -> dict[str, GraphSettings]:
    """Return the settings of these versions, reading those not known; absent versions are absent."""
    wanted = set(version_ids)
    missing = [version_id for version_id in wanted if version_id not in _settings]
    if missing:
        for version_id, given in sql.execute(_READ, {"ids": missing}):
            # What is wrong with settings is told when a graph is saved and when it runs; it limits nothing here.
            _settings[version_id], _ = parse_settings(orjson.loads(given) if given else None)
        while len(_settings) > max(KEEP, len(wanted)):
            _settings.popitem(last=False)
    found = {version_id: _settings[version_id] for version_id in wanted if version_id in _settings}
    for version_id in found:
        _settings.move_to_end(version_id)
    return found
