-- Take several tickets off the queue, those that this member still holds.
SELECT held.id, procrastinate_finish_job_v1(held.id, 'succeeded', true) FROM (
    SELECT id FROM procrastinate_jobs
    WHERE id = ANY (%(entry_ids)s::bigint[]) AND worker_id = %(worker_id)s AND status = 'doing'
    ORDER BY id
    FOR UPDATE
) AS held
