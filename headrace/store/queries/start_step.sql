-- Begin a step under a fencing token. No row: somebody else owns the attempt.
with mine as (
  update job set updated_at = now() where id = %(job_id)s and attempt = %(token)s and state = 'running' returning id
),
begun as (
  update step set state = 'running', attempt = %(token)s, started_at = now(), finished_at = null, cause = null
  from mine where step.job_id = mine.id and step.ordinal = %(ordinal)s
  returning step.job_id, step.name
)
insert into event (job_id, kind, data)
select job_id, 'step-started', jsonb_build_object('step', name, 'attempt', %(token)s::int) from begun
returning id
