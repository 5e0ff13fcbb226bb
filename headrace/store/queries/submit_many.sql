-- Insert several jobs of different keys, each as `submit` does: those whose key lets them in, with plan, steps and first event.
--
-- The lanes are locked in the order of their names, so that two of these never wait for each other.
with given as materialized (
  select * from jsonb_to_recordset(%(jobs)s) as given (
    at int, id uuid, workspace_id uuid, tenant text, dialect text, definition text, public_id text, root text, name text,
    key text, queue bool, priority int, trigger text, started_by text, idempotency_key text, idempotency_digest text,
    details jsonb, plan jsonb, sealed text, step_names text[], step_kinds text[]
  )
),
lane_taken as (
  insert into lane as l (key, active)
  select key, 1 from given where key is not null order by key
  on conflict (key) do update set active = l.active + 1
  where l.active = 0 or (select queue from given where given.key = excluded.key)
  returning key, active
),
new_job as (
  insert into job (id, workspace_id, tenant_id, dialect, definition, public_id, root, name, state, key, ready, priority,
                   trigger, started_by, idempotency_key, idempotency_digest, details, fan_out)
  select id, workspace_id, tenant, dialect, definition, public_id, root, name, 'waiting', key,
         coalesce(active = 1, true), priority, trigger, started_by, idempotency_key,
         decode(idempotency_digest, 'hex'), details, false
  from given left join lane_taken using (key)
  where key is null or active is not null
  order by at
  returning id, seq, ready, created_at
),
new_plan as (
  insert into job_plan (job_id, plan, sealed)
  select id, plan, decode(sealed, 'hex') from given join new_job using (id)
),
new_steps as (
  insert into step (job_id, ordinal, name, kind)
  select id, s.ordinal - 1, s.name, s.kind
  from given join new_job using (id), unnest(step_names, step_kinds) with ordinality as s (name, kind, ordinal)
),
new_event as (
  insert into event (job_id, kind) select id, 'job-submitted' from new_job order by seq returning id, job_id
)
select new_job.id, new_job.seq, new_job.ready, new_job.created_at, new_event.id as event_id
from new_job join new_event on new_event.job_id = new_job.id
