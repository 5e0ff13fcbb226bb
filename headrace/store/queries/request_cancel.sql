-- Ask a job to end that a worker has, or is about to have. No row: neither, or it was asked before.
with asked as (
  update job set cancel_requested_at = now(), updated_at = now()
  where id = %(job_id)s and state in ('admitted', 'running') and cancel_requested_at is null returning id
)
insert into event (job_id, kind, data) select id, 'job-cancel-requested', jsonb_build_object('by', %(by)s::text) from asked
returning id
