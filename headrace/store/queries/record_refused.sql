-- Write down a job that was refused when it was submitted, as one that was cancelled before it started.
with refused as (
  insert into job (id, workspace_id, tenant_id, dialect, definition, public_id, root, name, state, priority, trigger, started_by,
                   idempotency_key, idempotency_digest, details, cause, finished_at, fan_out)
  values (%(id)s, %(workspace_id)s, %(tenant)s, %(dialect)s, %(definition)s, %(public_id)s, %(root)s, %(name)s, 'cancelled',
          %(priority)s, %(trigger)s, %(started_by)s, %(idempotency_key)s, %(idempotency_digest)s, %(details)s, %(cause)s, now(),
          %(fan_out)s)
  returning id, seq, created_at
),
new_plan as (
  insert into job_plan (job_id, plan, sealed) select id, %(plan)s, %(sealed)s from refused
),
told as (
  insert into event (job_id, kind, data) select id, e.kind, e.data
  from refused, (values ('job-submitted', '{}'::jsonb), ('job-cancelled', jsonb_build_object('cause', %(cause)s::jsonb))) as e (kind, data)
  returning id
)
select refused.seq, false as ready, refused.created_at, max(told.id) as event_id from refused, told group by 1, 2, 3
