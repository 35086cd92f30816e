import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.manager
from django.db import migrations, models

IN_TENANT = "automate_triggerwindow_trigger_id_in_tenant"


class Migration(migrations.Migration):

    dependencies = [
        ('automate', '0005_watching'),
        ('automate_core', '0003_execution_index'),
    ]

    operations = [
        migrations.CreateModel(
            name='TriggerWindow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('debounce', 'Debounce'), ('throttle', 'Throttle')], max_length=8)),
                ('key', models.CharField(blank=True, db_default='', default='', max_length=255)),
                ('opened_at', models.DateTimeField()),
                ('closes_at', models.DateTimeField()),
                ('closes_by', models.DateTimeField(blank=True, null=True)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('event_id', models.UUIDField(blank=True, null=True)),
                ('event_at', models.DateTimeField(blank=True, null=True)),
                ('events', models.PositiveIntegerField(db_default=0, default=0)),
                ('started', models.PositiveIntegerField(db_default=0, default=0)),
                ('tenant', models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='automate_core.tenant')),
                ('trigger', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='windows', to='automate.trigger')),
            ],
            options={
                'base_manager_name': 'all_tenants',
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_tenants', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='WindowedEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.UUIDField()),
                ('has_passed', models.BooleanField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('trigger', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='automate.trigger')),
            ],
        ),
        migrations.AddIndex(
            model_name='triggerwindow',
            index=models.Index(fields=['tenant', '-opened_at'], name='automate_window_recent'),
        ),
        migrations.AddIndex(
            model_name='triggerwindow',
            index=models.Index(fields=['closes_at'], name='automate_window_old'),
        ),
        migrations.AddConstraint(
            model_name='triggerwindow',
            constraint=models.UniqueConstraint(condition=models.Q(('closed_at__isnull', True), ('kind', 'debounce')), fields=('trigger', 'key'), name='automate_window_debounce_once'),
        ),
        migrations.AddConstraint(
            model_name='triggerwindow',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'throttle')), fields=('trigger', 'key', 'opened_at'), name='automate_window_throttle_once'),
        ),
        migrations.AddIndex(
            model_name='windowedevent',
            index=models.Index(fields=['created_at'], name='automate_windowed_event_old'),
        ),
        migrations.AddConstraint(
            model_name='windowedevent',
            constraint=models.UniqueConstraint(fields=('trigger', 'event_id'), name='automate_windowed_event_once'),
        ),
        migrations.RunSQL(
            sql=f"ALTER TABLE automate_triggerwindow ADD CONSTRAINT {IN_TENANT} FOREIGN KEY (tenant_id, trigger_id)"
            " REFERENCES automate_trigger (tenant_id, id) DEFERRABLE INITIALLY DEFERRED",
            reverse_sql=f"ALTER TABLE automate_triggerwindow DROP CONSTRAINT {IN_TENANT}",
        ),
    ]
