-- Admit at most %(free_slots)s waiting jobs whose key is free, or items of fan-outs that have room: fair between tenants, then
-- priority, then seq.
--
-- Start-time fair queueing: a tenant's next job starts at max(its own turn, the server's clock), each job or item costs one
-- turn, the smallest start goes first. A tenant that was idle banks nothing, a flooding one waits for its turns.
-- The tenants with work are found by hops over the index job_ready, so its length costs nothing.
--
-- A fan-out is taken by its row's lock: whoever changes the set of its items or asks for a pause holds that lock, and admits,
-- or wakes the admission, afterwards. So a locked one is passed over here, nothing is missed, and no lock is waited for.
-- Within a tenant the job with the fewest items in flight goes first, so that a long list does not hold up a short one.
with recursive waiting_tenant as (
  (select workspace_id, tenant_id from job where state = 'waiting' and ready and not fan_out
   order by workspace_id, tenant_id limit 1)
  union all
  select n.workspace_id, n.tenant_id
  from waiting_tenant w cross join lateral (
    select j.workspace_id, j.tenant_id from job j
    where j.state = 'waiting' and j.ready and not j.fan_out and (j.workspace_id, j.tenant_id) > (w.workspace_id, w.tenant_id)
    order by j.workspace_id, j.tenant_id limit 1) n
),
hungry as materialized (
  select f.job_id, f.max_concurrent, f.max_items, f.pool, f.completed + f.failed as done
  from fan_out f
  where f.open and f.pause_requested_at is null and f.awaits is null
    and exists (select from step s where s.job_id = f.job_id and s.state = 'pending' and s.item_id is not null)
  for no key update of f skip locked
),
roomy as (
  select h.job_id, h.pool, j.workspace_id, j.tenant_id, j.priority, j.seq, busy.live,
         greatest(0, least(%(free_slots)s, h.max_concurrent - busy.live, h.max_items - h.done - busy.live)) as room
  from hungry h join job j on j.id = h.job_id cross join lateral (
    select count(*) as live from step s
    where s.job_id = h.job_id and s.state in ('admitted', 'running') and s.item_id is not null) busy
  where (j.state = 'running' or j.state = 'waiting' and j.ready) and j.cancel_requested_at is null
),
pool_room as (
  select f.pool, coalesce(min(f.pool_size), 2147483647) - count(s.ordinal) as room
  from fan_out f
  left join step s on s.job_id = f.job_id and s.state in ('admitted', 'running') and s.item_id is not null
  where f.open and f.pool in (select pool from hungry)
  group by f.pool
),
item as (
  select r.job_id, s.ordinal, r.pool, r.workspace_id, r.tenant_id, r.priority, r.seq,
         r.live + row_number() over (partition by r.job_id order by s.ordinal) as share
  from roomy r cross join lateral (
    select n.ordinal from step n where n.job_id = r.job_id and n.state = 'pending' and n.item_id is not null
    order by n.ordinal limit r.room) s
),
pooled as (
  select i.*, row_number() over (partition by i.pool order by i.priority desc, i.share, i.seq, i.ordinal) as nth from item i
),
ready_item as materialized (
  select p.job_id, p.ordinal, p.workspace_id, p.tenant_id, p.priority, p.seq, p.share
  from pooled p left join pool_room r on r.pool = p.pool
  where p.pool is null or p.nth <= r.room
),
line as (
  select w.workspace_id, w.tenant_id, greatest(coalesce(t.turn, 0), c.turn) as turn
  from (select workspace_id, tenant_id from waiting_tenant union select workspace_id, tenant_id from ready_item) w
  cross join fair_clock c
  left join tenant_turn t on t.workspace_id = w.workspace_id and t.tenant_id = w.tenant_id
  order by 3 limit %(free_slots)s
),
pick as (
  select j.id, j.ordinal, j.seq, l.workspace_id, l.tenant_id, l.turn + j.nth - 1 as start
  from line l cross join lateral (
    select h.*, row_number() over (order by h.priority desc, h.share, h.seq, h.ordinal) as nth
    from (
      (select w.id, null::integer as ordinal, w.priority, 0::bigint as share, w.seq from job w
       where w.state = 'waiting' and w.ready and not w.fan_out and w.workspace_id = l.workspace_id and w.tenant_id = l.tenant_id
       order by w.priority desc, w.seq limit %(free_slots)s)
      union all
      select i.job_id, i.ordinal, i.priority, i.share, i.seq from ready_item i
      where i.workspace_id = l.workspace_id and i.tenant_id = l.tenant_id) h
    order by h.priority desc, h.share, h.seq, h.ordinal limit %(free_slots)s) j
  order by start, j.seq, j.ordinal limit %(free_slots)s
),
admitted as (
  update job set state = 'admitted', admitted_at = now(), updated_at = now()
  from pick where pick.ordinal is null and job.id = pick.id and job.state = 'waiting'
  returning job.id, job.attempt, job.key, job.priority, job.seq
),
admitted_item as (
  update step set state = 'admitted', due_at = null
  from pick where step.job_id = pick.id and step.ordinal = pick.ordinal and step.state = 'pending'
  returning step.job_id, step.ordinal, step.attempt
),
opened as (
  update job set state = 'running', attempt = job.attempt + 1, admitted_at = now(), updated_at = now(),
                 started_at = coalesce(job.started_at, now())
  where job.state = 'waiting' and job.id in (select id from pick where ordinal is not null)
  returning job.id, job.attempt
),
turned as (
  insert into tenant_turn as t (workspace_id, tenant_id, turn)
  select workspace_id, tenant_id, max(start) + 1 from pick group by workspace_id, tenant_id
  on conflict (workspace_id, tenant_id) do update set turn = excluded.turn
),
clocked as (
  update fair_clock set turn = greatest(turn, (select max(start) from pick)) where exists (select from pick)
),
told as (
  insert into event (job_id, kind, data)
  select id, 'job-admitted', '{}'::jsonb from admitted
  union all
  select id, 'job-started', jsonb_build_object('attempt', attempt) from opened
)
select id, null::integer as ordinal, attempt, key, priority, seq from admitted
union all
select i.job_id, i.ordinal, i.attempt, null, r.priority, r.seq
from admitted_item i join ready_item r on r.job_id = i.job_id and r.ordinal = i.ordinal
order by seq, ordinal
