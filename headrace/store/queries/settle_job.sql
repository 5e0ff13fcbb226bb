-- What one attempt made of the job, under a fencing token. No row: somebody else owns the attempt.
with settled as (
  update job set state = %(state)s, cause = %(cause)s, finished_at = %(finished_at)s, due_at = %(due_at)s,
                 failures = job.failures + %(failed)s::int, node_id = null, updated_at = now(),
                 admitted_at = case when %(state)s in ('waiting', 'scheduled') then null else job.admitted_at end
  where id = %(job_id)s and attempt = %(token)s and state = 'running'
  returning id, key, attempt, state
),
tried as (
  update attempt set finished_at = now(), outcome = %(outcome)s
  from settled where attempt.job_id = settled.id and attempt.number = settled.attempt
),
rest as (
  update step set state = case when %(state)s in ('waiting', 'scheduled') then 'pending' else %(rest_state)s end,
                  finished_at = case when %(state)s in ('waiting', 'scheduled') then null else now() end
  from settled where step.job_id = settled.id
    and step.state = any(case when %(state)s = 'scheduled' then array['pending', 'running', 'failed', 'cancelled']
                              else array['pending', 'running'] end)
),
told as (
  insert into event (job_id, kind, data)
  select id, %(event)s, jsonb_strip_nulls(jsonb_build_object('attempt', attempt, 'cause', %(cause)s::jsonb)) from settled
  returning id
)
select settled.key, told.id as event_id from settled, told
