-- Be the only one who changes a fan-out's items. Its job's row is locked with it: of a table that is only joined, whoever had to wait for the
-- lock is shown what stood there before he waited, and would not know that meanwhile somebody asked the job to end.
select f.total, f.completed, f.failed, f.cancelled, f.max_items, f.pause_requested_at, f.awaits, f.stop_cause,
       j.state, j.cancel_requested_at, j.workspace_id, j.key
from fan_out f join job j on j.id = f.job_id
where f.job_id = %(job_id)s and f.open
for no key update of f, j
