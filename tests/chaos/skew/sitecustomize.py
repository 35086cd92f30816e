"""Puts this process's clock ahead by CHAOS_CLOCK_SKEW seconds: `time.time`, `time.time_ns` and `datetime.now`.

Python imports a `sitecustomize` on PYTHONPATH before anything else, so every module sees the wrong clock. The
monotonic clock is left alone: the kernel does not let it jump either.
"""

import datetime
import os
import time

SKEW = float(os.environ.get("CHAOS_CLOCK_SKEW") or 0)

if SKEW:
    _time, _time_ns = time.time, time.time_ns
    _datetime, _delta = datetime.datetime, datetime.timedelta(seconds=SKEW)

    class _LooksLikeDatetime(type(_datetime)):
        def __instancecheck__(cls, instance):
            return isinstance(instance, _datetime)

        def __subclasscheck__(cls, subclass):
            return issubclass(subclass, _datetime)

    class _Skewed(_datetime, metaclass=_LooksLikeDatetime):
        # Every value made is a plain datetime: only what "now" means differs.
        def __new__(cls, *args, **kwargs):
            return _datetime(*args, **kwargs)

        @classmethod
        def now(cls, tz=None):
            return _datetime.now(tz) + _delta

        @classmethod
        def utcnow(cls):
            return _datetime.now(datetime.UTC).replace(tzinfo=None) + _delta

        @classmethod
        def today(cls):
            return cls.now()

    for _maker in ("fromtimestamp", "fromisoformat", "strptime", "combine", "fromordinal"):
        setattr(_Skewed, _maker, getattr(_datetime, _maker))
    _Skewed.__name__ = _Skewed.__qualname__ = "datetime"
    _Skewed.__module__ = "datetime"

    time.time = lambda: _time() + SKEW
    time.time_ns = lambda: _time_ns() + int(SKEW * 1e9)
    datetime.datetime = _Skewed
