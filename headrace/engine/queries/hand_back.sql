-- Put a ticket back in its old place, if this member still holds it. The delay is by the database's clock; none at all keeps it due.
UPDATE procrastinate_jobs
SET status = 'todo', worker_id = NULL, attempts = attempts + 1,
    scheduled_at = now() + make_interval(secs => nullif(%(delay_seconds)s::double precision, 0))
WHERE id = %(entry_id)s AND worker_id = %(worker_id)s AND status = 'doing'
RETURNING id
