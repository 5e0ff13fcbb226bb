-- Pause a fan-out that has nothing in flight, or let a paused one wait for its turn again. No row: it is in another state.
with moved as (
  update job set state = %(to)s, updated_at = now() where id = %(job_id)s and state = %(from)s returning id, workspace_id
)
insert into event (job_id, kind, data) select id, %(event)s, %(data)s from moved
returning id
