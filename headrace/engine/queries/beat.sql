-- Say that the member lives. No row: it was taken for dead, its tickets are with others.
UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %(worker_id)s RETURNING id
