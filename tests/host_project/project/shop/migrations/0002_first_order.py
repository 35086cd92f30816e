from django.db import migrations


def add(apps, schema_editor):
    apps.get_model("shop", "Order").objects.create(number="first", total="1.00")


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
