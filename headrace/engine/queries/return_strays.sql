-- Put back the tickets that are this member's by the table but not in its hands: a fetch that committed while its answer was lost.
UPDATE procrastinate_jobs
SET status = 'todo', worker_id = NULL
WHERE worker_id = %(worker_id)s AND status = 'doing' AND id <> ALL (%(held)s::bigint[])
RETURNING id
