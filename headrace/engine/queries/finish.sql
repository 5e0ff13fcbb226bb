-- Take a ticket off the queue, if this member still holds it. No row: it does not.
SELECT procrastinate_finish_job_v1(held.id, 'succeeded', true) FROM (
    SELECT id FROM procrastinate_jobs
    WHERE id = %(entry_id)s AND worker_id = %(worker_id)s AND status = 'doing'
    FOR UPDATE
) AS held
