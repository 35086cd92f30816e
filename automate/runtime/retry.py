"""What to do after a step failed: pure decisions from the error, the attempt and the effect class."""

from __future__ import annotations

from dataclasses import dataclass

from automate.graph import Retry
from automate_core.errors import AutomateError, ErrorCodes, TransientError
from automate_core.outbox.backoff import full_jitter
from automate_core.steps import Effect


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a step is tried."""

    max_attempts: int = 3
    initial_seconds: float = 1.0
    max_seconds: float = 300.0
    jitter: bool = True
    retry_on: frozenset[str] | None = None
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure is called, and after how many seconds the step is tried again (None: never)."""

    code: str
    message: str
    retry_in_seconds: float | None


def policy_of(retry: Retry | None, policy: RetryPolicy) -> RetryPolicy:
    """Return the policy of a node: its own wishes over the engine's policy."""
    if retry is None:
        return policy
    return RetryPolicy(
        retry.max_attempts or policy.max_attempts, retry.initial_seconds or policy.initial_seconds,
        retry.max_seconds or policy.max_seconds, retry.jitter, retry.retry_on, retry.deadline_seconds,
    )  # fmt: skip


def judge(
    error: Exception,
    *,
    tries: int,
    effect: Effect,
    policy: RetryPolicy,
    elapsed_seconds: float = 0.0,
    draw: float | None = None,
) -> Verdict:
    """Decide about the failure of try number `tries` (1-based), `elapsed_seconds` after the first began.

    An idempotent or database step is tried again after a transient or unknown error. An at-most-once step is
    tried again only when the error says the call was certainly not performed (`performed=False`); when nobody
    can know, as after a timeout, the code is OUTCOME_UNKNOWN.
    """
    code, message = _name(error)
    if isinstance(error, AutomateError) and not isinstance(error, TransientError):
        return Verdict(code, message, None)
    if effect is Effect.PURE:
        return Verdict(code, message, None)
    if effect is Effect.AT_MOST_ONCE:
        performed = error.performed if isinstance(error, TransientError) else True
        if performed is None:
            return Verdict(ErrorCodes.OUTCOME_UNKNOWN, message, None)
        if performed:
            return Verdict(code, message, None)
    if tries >= policy.max_attempts or (policy.retry_on is not None and code not in policy.retry_on):
        return Verdict(code, message, None)
    wait = full_jitter(
        tries, initial_seconds=policy.initial_seconds, max_seconds=policy.max_seconds,
        draw=draw if policy.jitter else 1.0,
    )  # fmt: skip
    if isinstance(error, TransientError) and error.retry_after_seconds is not None:
        wait = max(wait, min(error.retry_after_seconds, 86_400.0))
    if policy.deadline_seconds is not None and elapsed_seconds + wait > policy.deadline_seconds:
        return Verdict(code, message, None)
    return Verdict(code, message, wait)


def _name(error: Exception) -> tuple[str, str]:
    if isinstance(error, AutomateError):
        news = [problem for problem in error.details[:5] if problem.message not in error.message]
        details = "; ".join(f"{problem.field}: {problem.message}" for problem in news)
        return str(error.code), f"{error.message} ({details})" if details else error.message
    if isinstance(error, TimeoutError):
        return ErrorCodes.TIMEOUT, str(error)
    return ErrorCodes.INTERNAL, f"{type(error).__name__}: {error}"


__all__ = ["RetryPolicy", "Verdict", "judge", "policy_of"]
