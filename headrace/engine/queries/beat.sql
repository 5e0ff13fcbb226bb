-- Say that the member lives, and learn whether a ticket waits whose announcement has gone astray, or which came back and is due. No row: the
-- member was taken for dead, its tickets are with others.
UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %(worker_id)s
RETURNING id, EXISTS (
    SELECT FROM procrastinate_jobs
    WHERE queue_name = %(queue_name)s AND status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())
)
