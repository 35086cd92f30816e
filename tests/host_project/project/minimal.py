"""Sets a host up with the apps in HOST_APPS and does what every host does first; prints what was imported."""

import json
import os
import sys

import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "host.settings"
django.setup()
call_command("check", fail_level="WARNING")
call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
call_command("migrate", verbosity=0)
call_command("check", databases=["default"], fail_level="WARNING")

from django.apps import apps  # noqa: E402

from automate_core import __file__ as home  # noqa: E402

ours = (
    "automate",
    "automate_core",
    "automate_api",
    "automate_connectors",
    "automate_modal",
    "automate_studio",
    "rest_framework",
    "config",
    "tests",
)
print(
    json.dumps(
        {
            "apps": sorted(config.label for config in apps.get_app_configs()),
            "imported": [name for name in ours if name in sys.modules],
            "home": home,
        }
    )
)
