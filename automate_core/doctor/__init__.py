"""The doctor: checks of a running installation, each with what to do. Apps register their own."""

from automate_core.doctor.contract import Check, Finding, Level, doctor_registry
from automate_core.doctor.examination import Result, examine

__all__ = ["Check", "Finding", "Level", "Result", "doctor_registry", "examine"]
