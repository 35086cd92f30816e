import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('automate_connectors', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='ConnectionPace',
            fields=[
                ('connection', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='automate_connectors.connection')),
                ('taken_until', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='connection',
            name='rate_limit',
            field=models.JSONField(blank=True, help_text='Calls over it wait: {"limit": 10, "per_seconds": 1}, and "burst" for that many at once.', null=True),
        ),
        migrations.CreateModel(
            name='ConnectionTurn',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('holder', models.CharField(max_length=128)),
                ('at', models.DateTimeField()),
                ('is_exchanged', models.BooleanField(db_default=False, default=False)),
                ('connection', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='automate_connectors.connection')),
            ],
            options={
                'indexes': [models.Index(fields=['connection', 'at'], name='automate_connection_turns')],
                'constraints': [models.UniqueConstraint(fields=('connection', 'holder'), name='automate_connection_turn_once')],
            },
        ),
    ]
