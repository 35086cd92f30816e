"""The checks of the core: database, workers, queue, clock, keys, secrets, Redis, outbound HTTP, disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.conf import settings
from django.core.checks.security.base import check_secret_key
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from automate_core import conf, sql
from automate_core.checks import MINIMUM_POSTGRES
from automate_core.doctor.contract import Check, Finding, Level
from automate_core.health import REAPER_LIMIT_SECONDS
from automate_core.http.guard import OutboundRefused, host_of, is_allowed, parse, port_of
from automate_core.models import OutboxItem, OutboxStatus, Secret
from automate_core.secrets.cipher import Place, Sealed, SecretUndecryptable, unseal

QUEUE_WARN_SECONDS, QUEUE_FAIL_SECONDS = 60.0, 600.0
SKEW_WARN_SECONDS, SKEW_FAIL_SECONDS = 2.0, 150.0
"""Signed webhooks are refused when their time is 300 s off."""
DISK_WARN_BYTES, DISK_FAIL_BYTES = 2 * 2**30, 256 * 2**20

_WORKERS = """
SELECT count(*), extract(epoch FROM clock_timestamp() - max(reaped_at))::float8,
  extract(epoch FROM clock_timestamp() - min(started_at))::float8
FROM automate_core_workerbeat WHERE seen_at > clock_timestamp() - make_interval(secs => %(lease)s)
"""

# A lease that ran out a whole lease ago should long have been reaped.
_QUEUE = """
SELECT count(*) FILTER (WHERE status = 'PENDING'),
  extract(epoch FROM clock_timestamp() - min(available_at) FILTER (WHERE status = 'PENDING'))::float8,
  count(*) FILTER (WHERE status = 'CLAIMED')
FROM automate_core_outboxitem
WHERE (status = 'PENDING' AND available_at <= clock_timestamp())
  OR (status = 'CLAIMED' AND lease_expires_at < clock_timestamp() - make_interval(secs => %(lease)s))
"""


def check_database() -> Iterator[Finding]:
    """Reach the database, and make sure of its version."""
    if connection.vendor != "postgresql":
        message = f"The database is {connection.vendor}, not PostgreSQL"
        yield Finding(Level.FAIL, message, "Set DATABASE_URL to a PostgreSQL server")
        return
    try:
        version: int = sql.execute("SELECT current_setting('server_version_num')::int")[0][0]
    except DatabaseError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = "Check that PostgreSQL runs and that DATABASE_URL names it"
        yield Finding(Level.FAIL, f"Not reachable: {reason}", hint)
        return
    found = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < MINIMUM_POSTGRES * 10_000:
        yield Finding(Level.FAIL, found, f"Upgrade to PostgreSQL {MINIMUM_POSTGRES} or newer")
    else:
        yield Finding(Level.OK, found)


def check_migrations() -> Iterator[Finding]:
    """Look for migrations that are not applied."""
    executor = MigrationExecutor(connection)
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if waiting:
        yield Finding(Level.FAIL, f"{waiting} not applied", "Run: manage.py migrate")
    else:
        yield Finding(Level.OK, "all applied")


def check_workers() -> Iterator[Finding]:
    """Count the live workers and ask when one last took items back from lost ones."""
    lease = conf.get().LEASE_SECONDS
    count, reaped, up = sql.execute(_WORKERS, {"lease": lease})[0]
    if not count:
        message = f"none was seen in the last {lease:.0f} s"
        yield Finding(Level.FAIL, message, "Start one: manage.py automate_worker")
        return
    yield Finding(Level.OK, f"{count} live")
    idle = up if reaped is None else min(reaped, up)
    if idle > REAPER_LIMIT_SECONDS:
        message = f"nothing was taken back from lost workers for {idle:.0f} s"
        yield Finding(Level.FAIL, message, "Restart the workers; their log says why they do not reap")


def check_queue() -> Iterator[Finding]:
    """See how long the oldest ready item waits, and whether expired leases are taken back."""
    ready, age, stuck = sql.execute(_QUEUE, {"lease": conf.get().LEASE_SECONDS})[0]
    if ready:
        level = _graded(age, QUEUE_WARN_SECONDS, QUEUE_FAIL_SECONDS)
        hint = "" if level == Level.OK else "Start more workers, or see why they are slow"
        yield Finding(level, f"{ready} ready, the oldest for {age:.0f} s", hint)
    else:
        yield Finding(Level.OK, "nothing is waiting")
    if stuck:
        message = f"{stuck} leases ran out and nobody took them back"
        yield Finding(Level.FAIL, message, "Run: manage.py outbox_reap")


def check_dead_letters() -> Iterator[Finding]:
    """Count what failed for good."""
    dead = OutboxItem.all_tenants.filter(status=OutboxStatus.FAILED).count()
    if dead:
        yield Finding(Level.WARN, f"{dead} to decide about", "See: manage.py automate_deadletters list")
    else:
        yield Finding(Level.OK, "none")


def check_clock() -> Iterator[Finding]:
    """Compare this host's clock with the database's."""
    before = time.time()
    theirs = sql.execute("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0]
    after = time.time()
    # Within the round trip nobody can tell.
    skew = max(0.0, before - theirs, theirs - after)
    level = _graded(skew, SKEW_WARN_SECONDS, SKEW_FAIL_SECONDS)
    if level == Level.OK:
        yield Finding(level, "agrees with the database's")
    else:
        hint = "Let NTP set this host's clock, and the database's"
        yield Finding(level, f"{skew:.0f} s off the database's", hint)


def check_site_key() -> Iterator[Finding]:
    """Ask Django whether SECRET_KEY is long and random enough: stored secrets may depend on it."""
    if check_secret_key(None):
        hint = "Use 50 or more random characters; keep the old key in SECRET_KEY_FALLBACKS"
        yield Finding(Level.FAIL, "SECRET_KEY is short or guessable", hint)
    else:
        yield Finding(Level.OK, "SECRET_KEY is long and random")


def check_secrets() -> Iterator[Finding]:
    """Decrypt every stored secret."""
    count, broken = 0, []
    for secret in Secret.all_tenants.select_related("tenant").order_by("id").iterator(chunk_size=500):
        count += 1
        place = Place(secret.tenant_id, secret.name, secret.version)
        try:
            unseal(Sealed(secret.key_id, bytes(secret.nonce), bytes(secret.ciphertext)), place)
        except SecretUndecryptable:
            broken.append(f"{secret.tenant.slug}/{secret.name}")
    if broken:
        hint = 'Put the key back into AUTOMATE["SECRET_KEYS"] or SECRET_KEY_FALLBACKS, or store them again'
        yield Finding(Level.FAIL, f"{len(broken)} of {count} do not decrypt: {_few(broken)}", hint)
    else:
        yield Finding(Level.OK, f"{count} stored, all decrypt")


def check_redis() -> Iterator[Finding]:
    """Reach Redis, when it is configured."""
    url = getattr(settings, "REDIS_URL", None)
    if not url:
        yield Finding(Level.OK, "not configured, not needed")
        return
    try:
        import redis
    except ImportError:
        yield Finding(Level.FAIL, "the client is not installed", "pip install 'django-automate[celery]'")
        return
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3) as client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        message = f"does not answer: {type(error).__name__}"
        yield Finding(Level.FAIL, message, "Start Redis, or correct or unset REDIS_URL")
    else:
        yield Finding(Level.OK, "answers")


def check_outbound() -> Iterator[Finding]:
    """Look for entries of the outbound allow-list that can never match."""
    entries = conf.get().HTTP_ALLOW
    useless = [entry for entry in entries if not _can_match(entry)]
    if useless:
        hint = "Write host:port exactly, in lower case, as in internal.example:8080"
        yield Finding(Level.WARN, f"entries that match nothing: {_few(useless)}", hint)
    elif entries:
        yield Finding(Level.OK, f"{len(entries)} private targets opened: {_few(entries)}")
    else:
        yield Finding(Level.OK, "public addresses only")


def check_disk() -> Iterator[Finding]:
    """Measure the free space of the data directory, where this installation has one."""
    directory = getattr(settings, "DATA_DIR", None)
    if directory is None or not Path(directory).exists():
        yield Finding(Level.OK, "no data directory on this host")
        return
    free = shutil.disk_usage(directory).free
    level = _graded(-free, -DISK_WARN_BYTES, -DISK_FAIL_BYTES)
    hint = "" if level == Level.OK else "Free some: manage.py automate_prune removes old history"
    yield Finding(level, f"{free / 2**30:.1f} GiB free in {directory}", hint)


def _graded(value: float, warn: float, fail: float) -> Level:
    if value > fail:
        return Level.FAIL
    return Level.WARN if value > warn else Level.OK


def _can_match(entry: str) -> bool:
    try:
        target = parse(f"http://{entry}/")
    except OutboundRefused:
        return False
    return is_allowed(host_of(target), port_of(target))


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


CHECKS = (
    Check("database", check_database, needs_database=False),
    Check("migrations", check_migrations),
    Check("workers", check_workers),
    Check("queue", check_queue),
    Check("dead letters", check_dead_letters),
    Check("clock", check_clock),
    Check("site key", check_site_key, needs_database=False),
    Check("secrets", check_secrets),
    Check("redis", check_redis, needs_database=False),
    Check("outbound HTTP", check_outbound, needs_database=False),
    Check("disk", check_disk, needs_database=False),
)
