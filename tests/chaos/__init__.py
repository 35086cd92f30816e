"""Chaos: the promises of docs/reference/promises.md, tried on real processes that are really killed."""
