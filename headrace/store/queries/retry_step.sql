-- Note, under a fencing token, that a running step is tried again; the try is added to the list in its output. No row: somebody
-- else owns the attempt.
with mine as (
  update job set updated_at = now() where id = %(job_id)s and attempt = %(token)s and state = 'running' returning id
),
again as (
  update step
  set output = step.output || jsonb_build_object('retries', coalesce(step.output -> 'retries', '[]'::jsonb) || jsonb_build_array(%(retry)s::jsonb))
  from mine where step.job_id = mine.id and step.ordinal = %(ordinal)s
  returning step.job_id, step.name
)
insert into event (job_id, kind, data)
select job_id, 'step-retried', jsonb_build_object('step', name, 'attempt', %(token)s::int) || %(retry)s::jsonb from again
returning id
