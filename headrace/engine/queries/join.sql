-- Become a member: the engine's row (heartbeat now) and ours together.
INSERT INTO engine_workers (worker_id, node, slots)
SELECT worker_id, %(node)s, %(slots)s FROM procrastinate_register_worker_v1()
RETURNING worker_id
