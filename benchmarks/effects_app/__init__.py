"""A Django app with what the benchmarks add: a step with an effect and an outbox kind, both doing nothing."""

KIND = "bench"
