-- Take payloads that are due, so that no slow receiver holds up another: the endpoints are visited one by one, each gives its oldest few,
-- and the hosts take turns. Of one job and endpoint only the oldest payload that is owed can be taken, unless its payloads need no order.
with recursive
-- Each endpoint that is owed something, by one index probe each, however much it is owed.
sinks as (
  (select sink from delivery where state = 'pending' order by sink limit 1)
  union all
  select (select d.sink from delivery d where d.state = 'pending' and d.sink > sinks.sink order by d.sink limit 1)
  from sinks where sinks.sink is not null
),
oldest as (
  select taken.*, row_number() over (partition by taken.host order by taken.due_at, taken.seq) as turn
  from sinks cross join lateral (
    select d.id, d.due_at, d.seq, lower(substring(d.url from '^[^:]+://([^/?#]*)')) as host
    from delivery d
    where d.sink = sinks.sink and d.state = 'pending' and d.due_at <= now()
      and (d.locked_until is null or d.locked_until < now())
      and not (d.ordered and exists (
        select from delivery earlier where earlier.state = 'pending' and earlier.ordered and earlier.job_id = d.job_id
          and earlier.sink = d.sink and earlier.seq < d.seq))
    order by d.due_at, d.seq limit %(per_host)s
  ) taken
),
-- The conditions that another node may have changed stand here again: only here are they checked on the locked row.
due as (
  select d.id from delivery d join oldest on oldest.id = d.id
  where oldest.turn <= %(per_host)s - coalesce((%(busy)s::jsonb ->> oldest.host)::integer, 0)
    and d.state = 'pending' and d.due_at <= now() and (d.locked_until is null or d.locked_until < now())
  order by oldest.turn, oldest.due_at, oldest.seq limit %(limit)s
  for update of d skip locked
)
update delivery set locked_until = now() + %(lease)s, attempts = attempts + 1
from due where delivery.id = due.id
returning delivery.id, workspace_id, tenant_id, job_id, sink, topic, url, body, state, attempts, due_at, last_status,
          last_error, created_at, finished_at
