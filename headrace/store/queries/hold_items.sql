-- Let items wait again whose tickets were taken back. Call with the fan-out's row locked.
-- One that runs while its ticket is free has lost its worker: nobody else would ever look at it again.
update step set state = 'pending', crashes = crashes + (state = 'running')::int
where job_id = %(job_id)s and ordinal = any(%(revoked)s) and state in ('admitted', 'running') and item_id is not null
