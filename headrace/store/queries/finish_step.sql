-- End a step under a fencing token. No row: somebody else owns the attempt.
with mine as (
  update job set updated_at = now() where id = %(job_id)s and attempt = %(token)s and state = 'running' returning id
),
ended as (
  update step set state = %(state)s, finished_at = now(), cause = %(cause)s, output = step.output || %(output)s
  from mine where step.job_id = mine.id and step.ordinal = %(ordinal)s
  returning step.job_id, step.name
)
insert into event (job_id, kind, data)
select job_id, %(event)s, jsonb_strip_nulls(jsonb_build_object('step', name, 'attempt', %(token)s::int, 'cause', %(cause)s::jsonb))
from ended
returning id
