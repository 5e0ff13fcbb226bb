-- Admit at most %(free_slots)s waiting jobs whose key is free: fair between tenants, then priority, then seq.
--
-- Start-time fair queueing: a tenant's next job starts at max(its own turn, the server's clock), each job costs one
-- turn, the smallest start goes first. A tenant that was idle banks nothing, a flooding one waits for its turns.
-- The tenants with work are found by hops over the index job_ready, so its length costs nothing.
with recursive waiting_tenant as (
  (select workspace_id, tenant_id from job where state = 'waiting' and ready order by workspace_id, tenant_id limit 1)
  union all
  select n.workspace_id, n.tenant_id
  from waiting_tenant w cross join lateral (
    select j.workspace_id, j.tenant_id from job j
    where j.state = 'waiting' and j.ready and (j.workspace_id, j.tenant_id) > (w.workspace_id, w.tenant_id)
    order by j.workspace_id, j.tenant_id limit 1) n
),
line as (
  select w.workspace_id, w.tenant_id, greatest(coalesce(t.turn, 0), c.turn) as turn
  from waiting_tenant w cross join fair_clock c
  left join tenant_turn t on t.workspace_id = w.workspace_id and t.tenant_id = w.tenant_id
  order by 3 limit %(free_slots)s
),
pick as (
  select j.id, j.seq, l.workspace_id, l.tenant_id, l.turn + j.nth - 1 as start
  from line l cross join lateral (
    select h.id, h.seq, row_number() over (order by h.priority desc, h.seq) as nth from job h
    where h.state = 'waiting' and h.ready and h.workspace_id = l.workspace_id and h.tenant_id = l.tenant_id
    order by h.priority desc, h.seq limit %(free_slots)s) j
  order by start, j.seq limit %(free_slots)s
),
admitted as (
  update job set state = 'admitted', admitted_at = now(), updated_at = now()
  from pick where job.id = pick.id and job.state = 'waiting'
  returning job.id, job.attempt, job.key, job.priority, job.seq
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
  insert into event (job_id, kind) select id, 'job-admitted' from admitted
)
select id, attempt, key, priority from admitted order by seq
