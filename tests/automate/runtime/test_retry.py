"""The retry table: error by effect class, and what is done about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automate.runtime.retry import RetryPolicy, judge
from automate_core.errors import ErrorCodes, PermanentError, Problem, TransientError, ValidationFailed
from automate_core.outbox.backoff import full_jitter
from automate_core.steps import Effect

PURE, DATABASE, IDEMPOTENT, ONCE = Effect.PURE, Effect.DATABASE, Effect.IDEMPOTENT, Effect.AT_MOST_ONCE
POLICY = RetryPolicy(max_attempts=3, initial_seconds=10.0, max_seconds=15.0)

NOT_PERFORMED = TransientError("refused", performed=False)
ANSWERED = TransientError("503", performed=True)
NO_ANSWER = TransientError(ErrorCodes.TIMEOUT, "silence", performed=None)
UNKNOWN = ErrorCodes.OUTCOME_UNKNOWN

TABLE = [
    # error, code, and the classes that try again
    (NOT_PERFORMED, ErrorCodes.TRANSIENT, {DATABASE, IDEMPOTENT, ONCE}),
    (ANSWERED, ErrorCodes.TRANSIENT, {DATABASE, IDEMPOTENT}),
    (NO_ANSWER, {ONCE: UNKNOWN, "else": ErrorCodes.TIMEOUT}, {DATABASE, IDEMPOTENT}),
    (ValueError("odd"), ErrorCodes.INTERNAL, {DATABASE, IDEMPOTENT}),
    (TimeoutError("slow"), ErrorCodes.TIMEOUT, {DATABASE, IDEMPOTENT}),
    (PermanentError("no"), ErrorCodes.PERMANENT, set()),
    (ValidationFailed("bad"), ErrorCodes.VALIDATION_ERROR, set()),
]


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize(("error", "codes", "again"), TABLE)
def test_verdict_follows_the_table(error, codes, again, effect):
    code = codes.get(effect, codes["else"]) if isinstance(codes, dict) else codes
    verdict = judge(error, tries=1, effect=effect, policy=POLICY, draw=0.5)
    assert (verdict.code, verdict.retry_in_seconds) == (code, 5.0 if effect in again else None)


@pytest.mark.parametrize("effect", [DATABASE, IDEMPOTENT, ONCE])
def test_last_try_is_the_last(effect):
    verdicts = [judge(NOT_PERFORMED, tries=n, effect=effect, policy=POLICY, draw=0.5) for n in (1, 2, 3, 4)]
    assert [verdict.retry_in_seconds for verdict in verdicts] == [5.0, 7.5, None, None]


@pytest.mark.parametrize(("asked", "waited"), [(2.0, 5.0), (60.0, 60.0), (10**9, 86_400.0)])
def test_wait_is_at_least_what_the_other_side_asked_for_up_to_a_day(asked, waited):
    error = TransientError("busy", retry_after_seconds=asked)
    assert judge(error, tries=1, effect=IDEMPOTENT, policy=POLICY, draw=0.5).retry_in_seconds == waited


def test_message_names_the_wrong_fields():
    error = PermanentError("bad input", details=[Problem("to", "is required")])
    assert judge(error, tries=1, effect=ONCE, policy=POLICY).message == "bad input (to: is required)"


@given(st.integers(1, 10_000), st.floats(0.001, 60), st.floats(60, 3600), st.floats(0, 1, exclude_max=True))
def test_back_off_never_leaves_its_bounds(attempt, initial, longest, draw):
    wait = full_jitter(attempt, initial_seconds=initial, max_seconds=longest, draw=draw)
    assert 0 <= wait <= min(longest, initial * 2.0 ** min(attempt - 1, 60))
