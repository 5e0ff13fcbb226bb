-- Write how one try ended, if it is still the last one. What waits behind it comes due with it: an endpoint that is down for a day
-- is not looked at all day for payloads that cannot go yet.
with settled as (
  update delivery set state = %(state)s, last_status = %(status)s, last_error = %(error)s, locked_until = null,
    due_at = now() + coalesce(%(retry_after)s, interval '0'),
    finished_at = case when %(state)s = 'pending' then null else now() end
  where id = %(id)s and attempts = %(attempts)s and state = 'pending'
  returning job_id, sink, seq, due_at, ordered
)
update delivery later set due_at = settled.due_at
from settled
where settled.ordered and later.ordered and later.job_id = settled.job_id and later.sink = settled.sink and later.seq > settled.seq and later.state = 'pending'
