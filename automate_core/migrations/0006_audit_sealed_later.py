"""Let audit entries be written without their place in the chain, and sealed once, later, by one update.

Whoever still writes them with their place may do so beside that: both hold the same lock of the chain.
"""

from __future__ import annotations

from django.db import migrations, models

FORWARD = """
CREATE OR REPLACE FUNCTION automate_audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.number IS NULL AND NEW.number IS NOT NULL
       AND length(NEW.digest) = 64 AND length(NEW.previous_digest) = 64
       AND (NEW.id, NEW.tenant_id, NEW.actor, NEW.action, NEW.target, NEW.before, NEW.after, NEW.trace_id,
            NEW.created_at, NEW.content_digest)
       IS NOT DISTINCT FROM (OLD.id, OLD.tenant_id, OLD.actor, OLD.action, OLD.target, OLD.before, OLD.after,
                             OLD.trace_id, OLD.created_at, OLD.content_digest) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit entries are append-only: % of entry % refused', TG_OP, coalesce(OLD.number::text, 'not sealed')
        USING ERRCODE = 'restrict_violation',
              HINT = 'Record a new entry instead. A tenant with entries is switched off, not deleted.';
END
$$;

CREATE OR REPLACE FUNCTION automate_audit_advance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO automate_core_audithead (tenant_id, number, digest)
    SELECT DISTINCT ON (tenant_id) tenant_id, number, digest FROM made WHERE number IS NOT NULL
    ORDER BY tenant_id, number DESC
    ON CONFLICT (tenant_id) DO UPDATE SET number = EXCLUDED.number, digest = EXCLUDED.digest
    WHERE automate_core_audithead.number < EXCLUDED.number;
    RETURN NULL;
END
$$;
CREATE TRIGGER automate_audit_advance_sealed AFTER UPDATE ON automate_core_auditentry
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION automate_audit_advance();
ALTER TABLE automate_core_auditentry ENABLE ALWAYS TRIGGER automate_audit_advance_sealed;
"""

BACKWARD = """
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM automate_core_auditentry WHERE number IS NULL) THEN
        RAISE EXCEPTION 'some audit entries are not sealed yet'
            USING HINT = 'Stop what writes them, run `automate_audit verify`, and migrate again.';
    END IF;
END
$$;
DROP TRIGGER automate_audit_advance_sealed ON automate_core_auditentry;
CREATE OR REPLACE FUNCTION automate_audit_advance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO automate_core_audithead (tenant_id, number, digest)
    SELECT DISTINCT ON (tenant_id) tenant_id, number, digest FROM made ORDER BY tenant_id, number DESC
    ON CONFLICT (tenant_id) DO UPDATE SET number = EXCLUDED.number, digest = EXCLUDED.digest
    WHERE automate_core_audithead.number < EXCLUDED.number;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION automate_audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are append-only: % of entry % refused', TG_OP, OLD.number
        USING ERRCODE = 'restrict_violation',
              HINT = 'Record a new entry instead. A tenant with entries is switched off, not deleted.';
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("automate_core", "0005_audit_by_action")]

    operations = [
        migrations.AlterField(
            model_name="auditentry",
            name="number",
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="previous_digest",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="digest",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="content_digest",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(
                condition=models.Q(("number", None)),
                fields=["tenant", "id"],
                name="automate_audit_unsealed",
            ),
        ),
    ]
