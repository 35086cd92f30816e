"""Keep the type of its event with each execution, so that lists narrowed by it read executions alone."""

from __future__ import annotations

from django.db import migrations, models

# Columns that nobody writes cost a row nothing but the look at these two. What is written by an older worker, by the
# ORM or by hand is filled in here.
FILL = """
CREATE FUNCTION automate_execution_event_type() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.event_type := coalesce((SELECT type FROM automate_event WHERE id = NEW.event_id), '');
  RETURN NEW;
END $$;
CREATE TRIGGER automate_execution_event_type BEFORE INSERT OR UPDATE OF event_type ON automate_execution
  FOR EACH ROW WHEN (NEW.event_type = '' AND NEW.event_id IS NOT NULL)
  EXECUTE FUNCTION automate_execution_event_type();
"""

UNFILL = """
DROP TRIGGER automate_execution_event_type ON automate_execution;
DROP FUNCTION automate_execution_event_type();
"""


class Migration(migrations.Migration):
    dependencies = [("automate", "0011_lists")]

    operations = [
        # A constant default: the catalogue changes, the rows do not.
        migrations.AddField(
            "execution",
            "event_type",
            models.CharField(blank=True, db_default="", default="", editable=False, max_length=255),
        ),
        migrations.RunSQL(sql=FILL, reverse_sql=UNFILL),
    ]
