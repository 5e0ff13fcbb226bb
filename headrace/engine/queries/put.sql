-- Put tickets on the queue in the order of the arrays. The engine's own function inserts; its rows are made here because the driver takes
-- twice as long to write them out as the database to store them.
SELECT procrastinate_defer_jobs_v1(array_agg(
    ROW (
        %(queue_name)s, %(task_name)s, priority, lane, NULL,
        jsonb_build_object('job_id', job_id, 'token', token, 'step', step), NULL
    )::procrastinate_job_to_defer_v1
    ORDER BY ordinal
))
FROM unnest(%(job_ids)s::text[], %(tokens)s::integer[], %(lanes)s::text[], %(priorities)s::integer[], %(steps)s::integer[])
    WITH ORDINALITY AS ticket (job_id, token, lane, priority, step, ordinal)
