-- End a job whose last item has ended. Call with the fan-out's row locked. No row: it had ended.
with ended as (
  update job set state = %(state)s, cause = %(cause)s, finished_at = now(), updated_at = now()
  where id = %(job_id)s and state in ('waiting', 'running', 'paused')
  returning id, key, ready, workspace_id
),
closed as (
  update fan_out set open = false from ended where fan_out.job_id = ended.id
),
told as (
  insert into event (job_id, kind, data)
  select id, 'job-' || %(state)s, jsonb_strip_nulls(jsonb_build_object('cause', %(cause)s::jsonb)) from ended
  returning id
)
select ended.key, ended.ready, ended.workspace_id, told.id as event_id from ended, told
