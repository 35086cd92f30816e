"""Array literals arrive in PostgreSQL as the values they were made from."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automate_core import sql
from automate_core.arrays import plain, quoted
from automate_core.ids import uuid7

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


@pytest.mark.django_db
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.none() | TEXTS | st.sampled_from(["NULL", "null", "", "{}", ",", '"', "\\", '\\"', " a "]))
)
def test_quoted_texts_survive_the_way_to_the_database(values):
    assert sql.execute("SELECT %s::text[]", (quoted(values),)) == [(values,)]


@pytest.mark.django_db
def test_plain_values_survive_the_way_to_the_database():
    ids = [uuid7(), None, uuid7()]
    assert sql.execute("SELECT %s::uuid[]", (plain(ids),)) == [(ids,)]
    assert sql.execute("SELECT %s::float8[]", (plain([1.5, None, 1e300]),)) == [([1.5, None, 1e300],)]
    assert sql.execute("SELECT %s::bool[]", (plain([True, False]),)) == [([True, False],)]


@pytest.mark.django_db
def test_plain_refuses_what_is_not_one_value():
    from django.db import DataError

    with pytest.raises(DataError):
        sql.execute("SELECT %s::int[]", (plain(["1,2} x"]),))
