"""The promise to a host project: install the wheel, add three apps, save a model, and a workflow runs."""

from __future__ import annotations

import json
import zipfile

import pytest

from tests.host_project.conftest import ROOT

pytestmark = [pytest.mark.timeout(900), pytest.mark.django_db(transaction=True)]

OURS = {path.parent.name for path in ROOT.glob("automate*/apps.py")}
API_APPS = "rest_framework rest_framework_simplejwt.token_blacklist automate_api"


def test_wheel_brings_the_packages_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert {"automate", "automate_core", "automate_connectors", "automate_api", "config"} <= tops
    assert not tops & {"tests", "benchmarks", "docs", "build"}
    assert "automate/migrations/0002_guards.py" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


PACKED = ("py.typed", "templates/", "static/", "migrations/")
"""Files of a package that are not its modules, and directories that must come along whole."""


def test_wheel_brings_what_the_packages_need_besides_modules(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = [found.parent for found in ROOT.glob("*/__init__.py") if found.parent.name in OURS]
    files = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    needed = {name for name in files if name.endswith(".py") or any(part in name for part in PACKED)}
    assert needed - names == set()
    for kind, example in (
        ("templates/", "automate_api/templates/automate_api/redoc.html"),
        ("static/", "automate_core/static/automate_core/admin.css"),
        ("migrations/", "automate_api/migrations/0001_initial.py"),
    ):
        assert example in {name for name in needed if kind in name}
    assert {name for name in needed if name.endswith("py.typed")} == {f"{name}/py.typed" for name in OURS}


def test_saved_model_starts_a_workflow_and_a_rollback_does_not(host):
    host.run("manage.py", "migrate", "shop", "--verbosity", "0")
    host.run("manage.py", "migrate", "--verbosity", "0")
    host.run("manage.py", "check", "--fail-level", "WARNING")
    host.run("manage.py", "makemigrations", "--check", "--dry-run")
    seen = json.loads(host.run("manage.py", "scenario").stdout.splitlines()[-1])
    assert seen["before"] == 0
    assert seen["events"] == ["model.shop.order.created"]
    assert seen["executions"] == ["SUCCESS"]
    assert seen["steps"] == [
        ["note", "SUCCESS", "kept 9.99"],
        ["log", "SUCCESS", {"message": f"order {seen['order']}"}],
    ]
    assert seen["rest_framework"] == []
    assert "/site-packages/automate/" in seen["automate"]


@pytest.mark.parametrize(
    ("installed", "absent"),
    [
        ("automate_core", {"automate", "automate_connectors", "automate_api", "rest_framework"}),
        ("automate_core automate_connectors", {"automate", "automate_api", "rest_framework"}),
        ("automate_core automate_connectors automate", {"automate_api", "rest_framework"}),
        (f"automate_core {API_APPS}", {"automate", "automate_connectors"}),
        ("automate_core automate_connectors automate_modal", {"automate", "automate_api", "rest_framework"}),
        (f"automate_core automate_connectors automate_modal {API_APPS}", {"automate"}),
        (f"automate_core automate_connectors automate {API_APPS}", {"automate_modal"}),
        (f"automate_core automate_connectors automate automate_modal {API_APPS}", set()),
        (f"automate_core automate_connectors automate {API_APPS} automate_studio", {"automate_modal"}),
    ],
    ids=lambda value: (
        value.replace("automate_", "").replace(API_APPS, "api") if isinstance(value, str) else ""
    ),
)
def test_app_installs_with_only_what_it_imports(host, installed, absent):
    seen = json.loads(host.run("minimal.py", apps=installed).stdout.splitlines()[-1])
    assert {name.split(".")[-1] for name in installed.split()} <= set(seen["apps"])
    assert set(seen["imported"]) & (absent | {"config", "tests"}) == set()
    assert "/site-packages/automate_core/" in seen["home"]
