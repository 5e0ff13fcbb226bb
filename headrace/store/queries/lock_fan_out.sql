-- Be the only one who changes a fan-out's items. In flight is counted by a subquery that sees what was committed before the lock was
-- asked for: enough for a first look, `count_live.sql` tells the truth under the lock.
select f.total, f.completed, f.failed, f.cancelled, f.max_items, f.pause_requested_at, f.awaits, f.stop_cause,
       j.state, j.cancel_requested_at, j.workspace_id, j.key
from fan_out f join job j on j.id = f.job_id
where f.job_id = %(job_id)s and f.open
for no key update of f
