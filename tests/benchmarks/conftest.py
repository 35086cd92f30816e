from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection as django_connection
from psycopg.conninfo import make_conninfo


@pytest.fixture
def url(transactional_db: None) -> Iterator[str]:
    """A schema of its own in the test database, as the search path of a connection string."""
    settings = django_connection.get_connection_params()
    place = {
        name: settings[name] for name in ("dbname", "user", "password", "host", "port") if settings.get(name)
    }
    base = make_conninfo(**place)
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA bench_raw")
        yield make_conninfo(base, options="-c search_path=bench_raw")
        connection.execute("DROP SCHEMA bench_raw CASCADE")
