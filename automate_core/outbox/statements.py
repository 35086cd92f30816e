"""Every SQL statement that writes the outbox table: few, each guarded by id, owner and epoch.

Two facts shape them. Time is the database's (`clock_timestamp()`), so a worker's clock never decides a lease.
A claim commits asynchronously: losing it in a crash of the server returns the item to PENDING, and since a
fence compares owner and epoch, the worker that lost it cannot write either.
"""

from __future__ import annotations

TABLE = "automate_core_outboxitem"

COLUMNS = (
    "o.id, o.tenant_id, o.kind, o.key, o.payload::text, o.attempts, o.max_attempts, o.suspect, o.lease_epoch,"
    " o.trace_id"
)

_READY = """o.status = 'PENDING' AND NOT o.suspect
      AND (%(kinds)s::text[] IS NULL OR o.kind = ANY(%(kinds)s::text[]))
      AND (o.key IS NULL OR NOT EXISTS (
            SELECT 1 FROM automate_core_outboxitem earlier
            WHERE earlier.tenant_id = o.tenant_id AND earlier.key = o.key AND earlier.id < o.id))"""

TAKE = """status = 'CLAIMED', attempts = o.attempts + 1, lease_owner = %(worker)s, lease_epoch = o.lease_epoch + 1,
    lease_renewed_at = clock.now, lease_expires_at = clock.now + make_interval(secs => %(lease)s)"""

_CLOCK = """quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM quick)"""

NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"

# A lane is one (tenant, priority). The lanes with work are found by skipping through the index, never by
# reading the backlog; `floor` lets a claim start behind index entries of rows that are already gone. The time comes
# from outside the innermost query: joined inside, it would be no bound of the index, and every item that waits for
# a later time would be read.
LANES = f"""
WITH RECURSIVE clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
lane AS (
  (SELECT tenant_id, priority FROM {TABLE} WHERE status = 'PENDING' AND NOT suspect
   ORDER BY tenant_id, priority LIMIT 1)
  UNION ALL
  SELECT following.tenant_id, following.priority FROM lane CROSS JOIN LATERAL (
    SELECT o.tenant_id, o.priority FROM {TABLE} o
    WHERE o.status = 'PENDING' AND NOT o.suspect AND (o.tenant_id, o.priority) > (lane.tenant_id, lane.priority)
    ORDER BY o.tenant_id, o.priority LIMIT 1) following
)
SELECT head.tenant_id, head.priority, extract(epoch FROM head.available_at)::float8,
       EXISTS (SELECT 1 FROM {TABLE} WHERE status = 'PENDING' AND suspect AND available_at <= clock.now)
FROM clock LEFT JOIN LATERAL (
  SELECT lane.tenant_id, lane.priority, oldest.available_at FROM lane CROSS JOIN LATERAL (
    SELECT o.available_at FROM {TABLE} o
    WHERE o.tenant_id = lane.tenant_id AND o.priority = lane.priority AND o.available_at <= clock.now
      AND {_READY}
    ORDER BY o.available_at, o.id LIMIT 1) oldest) head ON true
"""

CLAIM = f"""
WITH {_CLOCK},
pick AS MATERIALIZED (
  SELECT head.id FROM clock, (
    SELECT tenant_id, priority, to_timestamp(floor) AS floor, turn
    FROM unnest(%(tenants)s::uuid[], %(priorities)s::int2[], %(floors)s::float8[])
      WITH ORDINALITY AS given(tenant_id, priority, floor, turn)) lane
  CROSS JOIN LATERAL (
    SELECT o.id, o.available_at FROM {TABLE} o
    WHERE o.tenant_id = lane.tenant_id AND o.priority = lane.priority
      AND o.available_at >= lane.floor AND o.available_at <= clock.now
      AND {_READY}
    ORDER BY o.available_at, o.id LIMIT %(share)s FOR UPDATE OF o SKIP LOCKED) head
  ORDER BY lane.priority DESC, lane.turn, head.available_at, head.id LIMIT %(limit)s
)
UPDATE {TABLE} o SET {TAKE}
FROM pick, clock WHERE o.id = pick.id
RETURNING {COLUMNS}, o.priority, extract(epoch FROM o.available_at)::float8, extract(epoch FROM clock.now)::float8
"""

CLAIM_SUSPECT = f"""
WITH {_CLOCK},
pick AS MATERIALIZED (
  SELECT o.id FROM {TABLE} o, clock
  WHERE o.status = 'PENDING' AND o.suspect AND o.available_at <= clock.now - make_interval(secs => %(waited)s)
    AND (%(kinds)s::text[] IS NULL OR o.kind = ANY(%(kinds)s::text[]))
  ORDER BY o.available_at, o.id LIMIT 1 FOR UPDATE OF o SKIP LOCKED
)
UPDATE {TABLE} o SET {TAKE}
FROM pick, clock WHERE o.id = pick.id
RETURNING {COLUMNS}, o.priority, extract(epoch FROM o.available_at)::float8, extract(epoch FROM clock.now)::float8
"""

_MINE = """o.id = mine.id AND o.lease_owner = %(worker)s AND o.lease_epoch = mine.epoch AND o.status = 'CLAIMED'"""

COMPLETE = f"""
DELETE FROM {TABLE} o USING unnest(%(ids)s::bigint[], %(epochs)s::bigint[]) AS mine(id, epoch)
WHERE {_MINE} RETURNING o.id
"""

RETRY = f"""
UPDATE {TABLE} o SET
  status = CASE WHEN o.attempts >= o.max_attempts THEN 'FAILED' ELSE 'PENDING' END,
  available_at = mine.available_at, error = mine.error, suspect = false,
  lease_owner = '', lease_renewed_at = NULL, lease_expires_at = NULL
FROM (SELECT id, epoch, coalesce(at, clock_timestamp() + make_interval(secs => delay)) AS available_at, error
      FROM unnest(%(ids)s::bigint[], %(epochs)s::bigint[], %(at)s::timestamptz[], %(delays)s::float8[],
                  %(errors)s::text[]) AS t(id, epoch, at, delay, error)) mine
WHERE {_MINE} RETURNING o.id, o.status
"""

FAIL = f"""
UPDATE {TABLE} o SET status = 'FAILED', error = mine.error,
  lease_owner = '', lease_renewed_at = NULL, lease_expires_at = NULL
FROM unnest(%(ids)s::bigint[], %(epochs)s::bigint[], %(errors)s::text[]) AS mine(id, epoch, error)
WHERE {_MINE} RETURNING o.id
"""

RELEASE = f"""
UPDATE {TABLE} o SET status = 'PENDING', attempts = o.attempts - 1,
  lease_owner = '', lease_renewed_at = NULL, lease_expires_at = NULL
FROM unnest(%(ids)s::bigint[], %(epochs)s::bigint[]) AS mine(id, epoch)
WHERE {_MINE} RETURNING o.id
"""

DEFER = f"""
UPDATE {TABLE} o SET status = 'PENDING', attempts = o.attempts - 1,
  available_at = clock_timestamp() + make_interval(secs => mine.delay),
  lease_owner = '', lease_renewed_at = NULL, lease_expires_at = NULL
FROM unnest(%(ids)s::bigint[], %(epochs)s::bigint[], %(delays)s::float8[]) AS mine(id, epoch, delay)
WHERE {_MINE} RETURNING o.id
"""

RENEW = f"""
UPDATE {TABLE} o SET lease_renewed_at = clock_timestamp(),
  lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s)
FROM unnest(%(ids)s::bigint[], %(epochs)s::bigint[]) AS mine(id, epoch)
WHERE {_MINE} RETURNING o.id
"""

# One statement, its predicate inside: nothing can change between looking and taking.
REAP = f"""
WITH due AS MATERIALIZED (
  SELECT id FROM {TABLE}
  WHERE status = 'CLAIMED' AND (lease_expires_at < clock_timestamp()
        OR lease_renewed_at < clock_timestamp() - make_interval(secs => %(stale)s))
  ORDER BY lease_expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE {TABLE} o SET
  status = CASE WHEN o.attempts >= o.max_attempts THEN 'FAILED' ELSE 'PENDING' END,
  suspect = true,
  available_at = clock_timestamp() + make_interval(secs => %(backoff)s * (o.attempts - 1)),
  error = 'The worker ' || o.lease_owner || ' stopped without finishing claim ' || o.attempts,
  lease_owner = '', lease_renewed_at = NULL, lease_expires_at = NULL
FROM due WHERE o.id = due.id AND o.status = 'CLAIMED'
RETURNING {COLUMNS}, o.status, o.error
"""

# Takes the suspicion from items that were not at work when their worker stopped; it stays before a last claim.
CLEAR = f"""
UPDATE {TABLE} o SET suspect = false
WHERE o.id = ANY(%(ids)s::bigint[]) AND o.status = 'PENDING' AND o.suspect AND o.attempts < o.max_attempts - 1
"""

ENQUEUE = f"""
INSERT INTO {TABLE} (tenant_id, kind, key, priority, payload, available_at, max_attempts, trace_id)
SELECT %(tenant)s, %(kind)s, %(key)s, %(priority)s, %(payload)s::jsonb,
       coalesce(%(available_at)s::timestamptz, clock_timestamp()), %(max_attempts)s, %(trace)s
RETURNING id
"""

# Same as ENQUEUE, after waiting for other transactions that enqueue under the key: ids then follow commit order.
ENQUEUE_IN_ORDER = f"""
WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended(%(tenant)s::text || '/' || %(key)s, 0)))
{ENQUEUE.strip().replace("RETURNING id", "FROM turn RETURNING id")}
"""

REDRIVE = f"""
UPDATE {TABLE} o SET status = 'PENDING', attempts = 0, suspect = true, available_at = clock_timestamp(), error = ''
WHERE o.status = 'FAILED' AND o.id = ANY(%(ids)s::bigint[])
RETURNING {COLUMNS}
"""

DISCARD = f"""
DELETE FROM {TABLE} o WHERE o.status = 'FAILED' AND o.id = ANY(%(ids)s::bigint[]) RETURNING {COLUMNS}
"""
