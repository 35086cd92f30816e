"""Refuse UPDATE and DELETE of audit entries in the database; a tenant that has some cannot be deleted.

TRUNCATE stays possible: it needs the table owner's right and is what test flushes use.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION automate_audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are append-only: % of entry % refused', TG_OP, OLD.number
        USING ERRCODE = 'restrict_violation',
              HINT = 'Record a new entry instead. A tenant with entries is switched off, not deleted.';
END
$$;
CREATE TRIGGER automate_audit_append_only BEFORE UPDATE OR DELETE ON automate_core_auditentry
    FOR EACH ROW EXECUTE FUNCTION automate_audit_refuse_change();
"""

BACKWARD = """
DROP TRIGGER automate_audit_append_only ON automate_core_auditentry;
DROP FUNCTION automate_audit_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("automate_core", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
