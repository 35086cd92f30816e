"""Keep the end of each audit chain beside it, refuse TRUNCATE, and let no replica role pass the triggers.

A test database (its name starts with `test_`) may be truncated, unless its session says that it plays a real one:
that is how test runners empty it.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

FORWARD = """
INSERT INTO automate_core_audithead (tenant_id, number, digest)
SELECT DISTINCT ON (tenant_id) tenant_id, number, digest FROM automate_core_auditentry ORDER BY tenant_id, number DESC;

CREATE FUNCTION automate_audit_advance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO automate_core_audithead (tenant_id, number, digest)
    SELECT DISTINCT ON (tenant_id) tenant_id, number, digest FROM made ORDER BY tenant_id, number DESC
    ON CONFLICT (tenant_id) DO UPDATE SET number = EXCLUDED.number, digest = EXCLUDED.digest
    WHERE automate_core_audithead.number < EXCLUDED.number;
    RETURN NULL;
END
$$;
CREATE TRIGGER automate_audit_advance AFTER INSERT ON automate_core_auditentry
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION automate_audit_advance();

CREATE FUNCTION automate_audit_head_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.tenant_id = OLD.tenant_id AND NEW.number > OLD.number THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit chains only grow: % of the end at entry % refused', TG_OP, OLD.number
        USING ERRCODE = 'restrict_violation', HINT = 'The end of a chain moves when an entry is recorded.';
END
$$;
CREATE TRIGGER automate_audit_head_only_grows BEFORE UPDATE OR DELETE ON automate_core_audithead
    FOR EACH ROW EXECUTE FUNCTION automate_audit_head_only_grows();

CREATE FUNCTION automate_audit_may_be_emptied(database text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT database LIKE 'test\\_%'
$$;
CREATE FUNCTION automate_audit_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF automate_audit_may_be_emptied(current_database())
       AND current_setting('automate.truncate', true) IS DISTINCT FROM 'refuse' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'audit entries are append-only: TRUNCATE refused'
        USING ERRCODE = 'restrict_violation', HINT = 'Only a database whose name starts with test_ may be emptied.';
END
$$;
CREATE TRIGGER automate_audit_no_truncate BEFORE TRUNCATE ON automate_core_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION automate_audit_refuse_truncate();
CREATE TRIGGER automate_audit_no_truncate BEFORE TRUNCATE ON automate_core_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION automate_audit_refuse_truncate();

ALTER TABLE automate_core_auditentry ENABLE ALWAYS TRIGGER automate_audit_append_only;
ALTER TABLE automate_core_auditentry ENABLE ALWAYS TRIGGER automate_audit_advance;
ALTER TABLE automate_core_auditentry ENABLE ALWAYS TRIGGER automate_audit_no_truncate;
ALTER TABLE automate_core_audithead ENABLE ALWAYS TRIGGER automate_audit_head_only_grows;
ALTER TABLE automate_core_audithead ENABLE ALWAYS TRIGGER automate_audit_no_truncate;
"""

BACKWARD = """
DROP TRIGGER automate_audit_no_truncate ON automate_core_audithead;
DROP TRIGGER automate_audit_no_truncate ON automate_core_auditentry;
DROP FUNCTION automate_audit_refuse_truncate();
DROP FUNCTION automate_audit_may_be_emptied(text);
DROP TRIGGER automate_audit_head_only_grows ON automate_core_audithead;
DROP FUNCTION automate_audit_head_only_grows();
DROP TRIGGER automate_audit_advance ON automate_core_auditentry;
DROP FUNCTION automate_audit_advance();
ALTER TABLE automate_core_auditentry ENABLE TRIGGER automate_audit_append_only;
"""


class Migration(migrations.Migration):
    dependencies = [("automate_core", "0003_execution_index")]

    operations = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("tenant_id", models.UUIDField(primary_key=True, serialize=False)),
                ("number", models.PositiveBigIntegerField()),
                ("digest", models.CharField(max_length=64)),
            ],
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.AlterField(
            model_name="auditentry",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="automate_core.tenant",
            ),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(
                fields=["trace_id"],
                condition=models.Q(("trace_id", ""), _negated=True),
                name="automate_audit_trace",
            ),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["tenant", "-id"], name="automate_audit_recent"),
        ),
    ]
