"""What the database itself guarantees: no key crosses tenants, and a changed automation is noticed."""

from __future__ import annotations

from django.db import migrations

# child table, its column, parent table
KEYS = [
    ("automate_workflowversion", "automation_id", "automate_automation"),
    ("automate_automation", "live_version_id", "automate_workflowversion"),
    ("automate_trigger", "automation_id", "automate_automation"),
    ("automate_execution", "automation_id", "automate_automation"),
    ("automate_execution", "version_id", "automate_workflowversion"),
    ("automate_execution", "event_id", "automate_event"),
    ("automate_execution", "trigger_id", "automate_trigger"),
    ("automate_execution", "replay_of_id", "automate_execution"),
    ("automate_steprun", "execution_id", "automate_execution"),
]


def _add(child: str, column: str, parent: str) -> str:
    return (
        f"ALTER TABLE {child} ADD CONSTRAINT {child}_{column}_in_tenant FOREIGN KEY (tenant_id, {column})"
        f" REFERENCES {parent} (tenant_id, id) DEFERRABLE INITIALLY DEFERRED"
    )


def _drop(child: str, column: str, parent: str) -> str:
    return f"ALTER TABLE {child} DROP CONSTRAINT {child}_{column}_in_tenant"


NOTICE = """
CREATE FUNCTION automate_routing_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
  -- microseconds, so that a number never comes back, not even after a restore
  stamp bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
  INSERT INTO automate_routingrevision (tenant_id, revision) VALUES (changed, stamp)
  ON CONFLICT (tenant_id) DO UPDATE SET revision = greatest(stamp, automate_routingrevision.revision + 1);
  RETURN NULL;
END $$;
CREATE TRIGGER automate_trigger_changed
  AFTER INSERT OR DELETE OR UPDATE OF automation_id, type, config, event_type, source, rule, is_enabled
  ON automate_trigger FOR EACH ROW EXECUTE FUNCTION automate_routing_changed();
CREATE TRIGGER automate_automation_changed
  AFTER INSERT OR DELETE OR UPDATE OF enabled, live_version_id, name, slug
  ON automate_automation FOR EACH ROW EXECUTE FUNCTION automate_routing_changed();
"""

UNNOTICE = """
DROP TRIGGER automate_automation_changed ON automate_automation;
DROP TRIGGER automate_trigger_changed ON automate_trigger;
DROP FUNCTION automate_routing_changed();
"""


class Migration(migrations.Migration):
    dependencies = [("automate", "0001_initial")]

    operations = [
        *(migrations.RunSQL(sql=_add(*key), reverse_sql=_drop(*key)) for key in KEYS),
        migrations.RunSQL(sql=NOTICE, reverse_sql=UNNOTICE),
    ]
