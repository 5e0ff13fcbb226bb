-- A member that takes no more tickets has no slots to fill.
UPDATE engine_workers SET slots = 0 WHERE worker_id = %(worker_id)s RETURNING worker_id
