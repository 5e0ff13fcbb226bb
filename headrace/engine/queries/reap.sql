-- Strike off members that are silent for longer than ttl_seconds (or the one named by worker_id) and put their tickets back, in one statement:
-- two reapers cannot both put back a ticket, and a member that beats at the same time either keeps everything or loses everything.
-- A member whose rows somebody has locked (its own half-done transaction on a stopped machine) is left for the next time, so that it
-- cannot keep the others from being rescued. Tickets without a member are left-overs of a fetch that committed while its member was struck off.
WITH silent AS MATERIALIZED (
    SELECT id FROM procrastinate_workers
    WHERE id = %(worker_id)s::bigint OR last_heartbeat < now() - make_interval(secs => %(ttl_seconds)s::double precision)
    FOR UPDATE SKIP LOCKED
), held AS MATERIALIZED (
    SELECT id, worker_id FROM procrastinate_jobs
    WHERE status = 'doing' AND (worker_id IS NULL OR worker_id IN (SELECT id FROM silent))
    FOR UPDATE SKIP LOCKED
), dead AS (
    DELETE FROM procrastinate_workers AS worker USING silent
    WHERE worker.id = silent.id AND NOT EXISTS (
        SELECT FROM procrastinate_jobs AS job
        WHERE job.worker_id = worker.id AND job.status = 'doing' AND job.id NOT IN (SELECT id FROM held)
    )
    RETURNING worker.id
)
UPDATE procrastinate_jobs AS job
SET status = 'todo', worker_id = NULL, attempts = job.attempts + 1, scheduled_at = NULL
FROM held
WHERE job.id = held.id AND (held.worker_id IS NULL OR held.worker_id IN (SELECT id FROM dead))
RETURNING job.args ->> 'job_id', (job.args ->> 'token')::integer, job.lock, job.priority, (job.args ->> 'step')::integer
