-- Insert a job with its plan, its steps and its first event, if its exclusivity key lets it in.
--
-- The lane's row lock serialises everything that wants the key, so `seq` rises in the order in which submits of a key
-- commit, and exactly one of many parallel submits finds the lane empty. Returns no row when the key is taken and the
-- caller does not queue.
with lane_taken as (
  insert into lane as l (key, active)
  select %(key)s::text, 1 where %(key)s::text is not null
  on conflict (key) do update set active = l.active + 1 where %(queue)s or l.active = 0
  returning active
),
new_job as (
  insert into job (id, workspace_id, tenant_id, dialect, definition, public_id, root, name, state, key, ready, priority,
                   trigger, started_by, idempotency_key, idempotency_digest, details, fan_out)
  select %(id)s, %(workspace_id)s, %(tenant)s, %(dialect)s, %(definition)s, %(public_id)s, %(root)s, %(name)s, 'waiting',
         %(key)s, coalesce((select active from lane_taken) = 1, true), %(priority)s, %(trigger)s, %(started_by)s,
         %(idempotency_key)s, %(idempotency_digest)s, %(details)s, %(fan_out)s
  where %(key)s::text is null or exists (select from lane_taken)
  returning id, seq, ready, created_at
),
new_plan as (
  insert into job_plan (job_id, plan, sealed) select id, %(plan)s, %(sealed)s from new_job
),
new_steps as (
  insert into step (job_id, ordinal, name, kind)
  select new_job.id, s.ordinal - 1, s.name, s.kind
  from new_job, unnest(%(step_names)s::text[], %(step_kinds)s::text[]) with ordinality as s (name, kind, ordinal)
),
new_event as (
  insert into event (job_id, kind) select id, 'job-submitted' from new_job returning id
)
select new_job.seq, new_job.ready, new_job.created_at, new_event.id as event_id from new_job, new_event
