-- Slots of the members minus tickets on the queue, waiting or in hand.
SELECT greatest(0, coalesce((SELECT sum(slots) FROM engine_workers), 0)
                   - (SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %(queue_name)s))::integer
