-- End a job that no worker has. No row: it is in another state.
with ended as (
  update job set state = 'cancelled', finished_at = now(), updated_at = now(), cause = %(cause)s,
                 cancel_requested_at = coalesce(cancel_requested_at, now())
  where id = %(job_id)s and state = any(%(states)s)
  returning id, key, ready
),
rest as (
  update step set state = 'skipped', finished_at = now() from ended where step.job_id = ended.id and step.state in ('pending', 'running')
),
told as (
  insert into event (job_id, kind, data) select id, 'job-cancelled', jsonb_build_object('cause', %(cause)s::jsonb) from ended
  returning id
)
select ended.key, ended.ready, told.id as event_id from ended, told
