"""Endpoints: saved callables, the jobs they become, and the artifacts those leave behind."""
