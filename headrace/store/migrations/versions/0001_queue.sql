-- What Headrace adds to the engine's own schema; nothing of that schema is changed but parameters.

-- Who the members are. The engine's table knows only an id and a heartbeat.
CREATE TABLE engine_workers (
    worker_id bigint PRIMARY KEY REFERENCES procrastinate_workers (id) ON DELETE CASCADE,
    node text NOT NULL,
    slots integer NOT NULL CHECK (slots >= 0),
    joined_at timestamptz NOT NULL DEFAULT now()
);

-- To revoke a job's tickets.
CREATE INDEX engine_tickets_job_id_idx ON procrastinate_jobs ((args ->> 'job_id')) WHERE status = 'todo';

-- To find out whether a ticket's lane is free.
CREATE INDEX engine_tickets_lane_idx ON procrastinate_jobs (lock) WHERE status IN ('todo', 'doing');

-- The next ticket is looked up by priority, and its lane by the index above, whatever the statistics say. A queue is mostly empty, so a burst
-- meets statistics of an empty table: then the planner read and sorted the whole queue for each fetch (10,000 tickets: 4 s instead of 2 ms).
ALTER FUNCTION procrastinate_fetch_job_v2 (character varying[], bigint)
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off;

-- A few live rows with a great turnover: clean by count, not by share of the table.
ALTER TABLE procrastinate_jobs SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE procrastinate_events SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE procrastinate_workers SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Workers are told of new tickets, but not of a lane that became free: the next of the lane would wait for a poll.
-- The payload is constant so that PostgreSQL folds all announcements of one transaction into one.
CREATE FUNCTION engine_ticket_may_go() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('procrastinate_queue_v1#' || OLD.queue_name, '{"type": "job_inserted", "job_id": 0}');
    RETURN NULL;
END;
$$;

CREATE TRIGGER engine_ticket_handed_back AFTER UPDATE OF status ON procrastinate_jobs
    FOR EACH ROW WHEN (OLD.status = 'doing' AND NEW.status <> 'doing')
    EXECUTE FUNCTION engine_ticket_may_go();

CREATE TRIGGER engine_lane_freed AFTER DELETE ON procrastinate_jobs
    FOR EACH ROW WHEN (OLD.lock IS NOT NULL)
    EXECUTE FUNCTION engine_ticket_may_go();
