-- Cancel every item that no worker has; those of %(revoked)s had a ticket that was taken back, so that the worker of one that runs is
-- gone. Call with the fan-out's row locked.
with ended as (
  update step set state = 'cancelled', cause = %(cause)s, due_at = null, finished_at = now()
  where job_id = %(job_id)s and item_id is not null
    and (state in ('pending', 'retryable') or state in ('admitted', 'running') and ordinal = any(%(revoked)s))
  returning 1
)
update fan_out set cancelled = cancelled + (select count(*) from ended) where job_id = %(job_id)s
returning completed, failed, cancelled, total
