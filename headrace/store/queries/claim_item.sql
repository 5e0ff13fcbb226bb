-- Take an item for one try: the raised attempt number fences whoever had it before. Also tells whether somebody asked its job to end.
with before as (
  select job_id, ordinal, state from step
  where job_id = %(job_id)s and ordinal = %(ordinal)s and item_id is not null and state in ('admitted', 'running')
  for update
),
claimed as (
  update step set state = 'running', attempt = step.attempt + 1, started_at = coalesce(step.started_at, now()),
                  crashes = step.crashes + (before.state = 'running')::int
  from before where step.job_id = before.job_id and step.ordinal = before.ordinal
  returning step.*
),
lost as (
  update step_attempt set finished_at = now(), outcome = 'lost'
  from claimed where step_attempt.job_id = claimed.job_id and step_attempt.ordinal = claimed.ordinal
    and step_attempt.finished_at is null
),
begun as (
  insert into step_attempt (job_id, ordinal, number, node_id, node_name)
  select job_id, ordinal, attempt, %(node_id)s, %(node_name)s from claimed
)
select claimed.*, j.cancel_requested_at from claimed join job j on j.id = claimed.job_id
