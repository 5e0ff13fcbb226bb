-- Begin a step under a fencing token; `first`: no attempt began it before. No row: somebody else owns the attempt.
with mine as (
  update job set updated_at = now() where id = %(job_id)s and attempt = %(token)s and state = 'running' returning id
),
before as (
  select step.attempt from step join mine on step.job_id = mine.id where step.ordinal = %(ordinal)s
),
begun as (
  update step set state = 'running', attempt = %(token)s, started_at = now(), finished_at = null, cause = null
  from mine where step.job_id = mine.id and step.ordinal = %(ordinal)s
  returning step.job_id, step.name
)
insert into event (job_id, kind, data)
select job_id, 'step-started', jsonb_build_object('step', name, 'attempt', %(token)s::int) from begun
returning id, (select attempt = 0 from before) as first
