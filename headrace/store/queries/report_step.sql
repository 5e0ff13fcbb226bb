-- Progress of a running step, under a fencing token; also tells whether somebody asked for an end.
with mine as (
  update job set updated_at = now() where id = %(job_id)s and attempt = %(token)s and state = 'running'
  returning id, cancel_requested_at
),
written as (
  update step set output = step.output || %(output)s from mine where step.job_id = mine.id and step.ordinal = %(ordinal)s
)
select cancel_requested_at from mine
