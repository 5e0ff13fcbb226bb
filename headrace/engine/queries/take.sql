-- Take tickets from the head of the queue, up to the first that has a lane: whether that is free is for the engine's own fetch, which bears
-- losing the race for it. Rows are locked only when taken, so that no other fetch passes one over which is then left; one that somebody else
-- has locked, who takes it or takes it back, is not waited for: whoever asks holds the lock of the admission, which that one may want next.
WITH head AS MATERIALIZED (
    SELECT id, lock, row_number() OVER (ORDER BY priority DESC, id) AS place FROM (
        SELECT id, lock, priority FROM procrastinate_jobs
        WHERE queue_name = %(queue_name)s AND status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())
        ORDER BY priority DESC, id
        LIMIT %(most)s
    ) AS next
), free AS MATERIALIZED (
    SELECT id FROM procrastinate_jobs
    WHERE status = 'todo'
        AND id IN (SELECT id FROM head WHERE place < coalesce((SELECT min(place) FROM head WHERE lock IS NOT NULL), 1 + %(most)s))
    FOR UPDATE SKIP LOCKED
)
UPDATE procrastinate_jobs AS job
SET status = 'doing', worker_id = %(worker_id)s
FROM free
WHERE job.id = free.id
RETURNING job.id, job.status, job.task_name, job.priority, job.lock, job.queueing_lock, job.args, job.scheduled_at,
    job.queue_name, job.attempts, job.worker_id
