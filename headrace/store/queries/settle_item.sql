-- What one try made of an item, under a fencing token, and what that makes of the fan-out's counts. No row: somebody else owns the item.
-- Call with the fan-out's row locked.
with settled as (
  update step set state = %(state)s, cause = %(cause)s, output = step.output || %(output)s, result = %(result)s,
                  appended = %(appended)s, due_at = %(due_at)s, failures = step.failures + %(failed)s::int,
                  finished_at = case when %(final)s then now() end
  where job_id = %(job_id)s and ordinal = %(ordinal)s and attempt = %(token)s and state = 'running'
  returning job_id, ordinal, attempt, name, item_id, state, cause
),
tried as (
  update step_attempt set finished_at = now(), outcome = %(outcome)s, cause = settled.cause
  from settled where step_attempt.job_id = settled.job_id and step_attempt.ordinal = settled.ordinal
    and step_attempt.number = settled.attempt
),
counted as (
  update fan_out set completed = completed + (settled.state = 'completed')::int,
                     failed = fan_out.failed + (settled.state = 'failed')::int,
                     cancelled = cancelled + (settled.state = 'cancelled')::int
  from settled where fan_out.job_id = settled.job_id
  returning fan_out.completed, fan_out.failed, fan_out.cancelled, fan_out.total
),
told as (
  insert into event (job_id, kind, data)
  select job_id, 'step-' || state, jsonb_build_object('step', name, 'item', item_id, 'ordinal', ordinal, 'attempt', attempt)
  from settled where %(final)s
)
select * from counted
