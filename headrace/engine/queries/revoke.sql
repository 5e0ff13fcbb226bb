-- Take back a job's tickets that nobody has fetched.
DELETE FROM procrastinate_jobs
WHERE args ->> 'job_id' = %(job_id)s AND status = 'todo' AND queue_name = %(queue_name)s
RETURNING args ->> 'job_id', (args ->> 'token')::integer, lock, priority, (args ->> 'step')::integer
