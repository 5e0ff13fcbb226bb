-- Add items to the end of a fan-out's list. Call with its row locked, or in the transaction that made it.
with grown as (
  update fan_out set total = total + cardinality(%(ids)s::text[]) where job_id = %(job_id)s
  returning job_id, total - cardinality(%(ids)s::text[]) as first
)
insert into step (job_id, ordinal, name, kind, item_id, parent, input, timeout_seconds, max_attempts)
select grown.job_id, grown.first + i.nth - 1, i.name, %(kind)s, i.id, %(parent)s, i.input, i.timeout_seconds, i.max_attempts
from grown, unnest(%(ids)s::text[], %(names)s::text[], %(inputs)s::bytea[], %(timeouts)s::float8[], %(max_attempts)s::integer[])
  with ordinality as i (id, name, input, timeout_seconds, max_attempts, nth)
