-- Take the job for one attempt: the raised attempt number fences whoever had it before.
with before as (
  select id, state, attempt from job where id = %(job_id)s and state in ('admitted', 'running') for update
),
claimed as (
  update job set state = 'running', attempt = job.attempt + 1, node_id = %(node_id)s, updated_at = now(),
                 started_at = coalesce(job.started_at, now()),
                 crashes = job.crashes + (before.state = 'running')::int
  from before where job.id = before.id
  returning job.id, job.attempt, job.crashes, before.state as state_before, before.attempt as attempt_before
),
lost as (
  update attempt set finished_at = now(), outcome = 'lost'
  from claimed where attempt.job_id = claimed.id and attempt.finished_at is null
),
begun as (
  insert into attempt (job_id, number, node_id, node_name)
  select id, attempt, %(node_id)s, %(node_name)s from claimed
),
told as (
  insert into event (job_id, kind, data)
  select id, case state_before when 'running' then 'job-taken-over' else 'job-started' end,
         jsonb_build_object('attempt', attempt, 'node', %(node_name)s::text)
  from claimed
)
select id, attempt, crashes, state_before from claimed
