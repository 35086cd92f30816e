from __future__ import annotations

from django.test import override_settings

from automate_api.checks import check_api_settings, check_middleware


def test_defaults_pass() -> None:
    assert check_api_settings() == []
    assert check_middleware() == []


def test_bad_rates_and_counts_are_refused() -> None:
    with override_settings(
        AUTOMATE_API={"RATE_STANDARD": "often", "TRUSTED_PROXIES": -1, "PAGE_SIZE": "many"}
    ):
        assert [error.id for error in check_api_settings()] == [
            "automate_api.E001",
            "automate_api.E002",
            "automate_api.E002",
        ]


def test_missing_middleware_is_named() -> None:
    with override_settings(MIDDLEWARE=["automate_api.middleware.TraceMiddleware"]):
        assert [warning.msg.split()[0] for warning in check_middleware()] == [
            "automate_api.middleware.ApiMiddleware"
        ]
