-- Use the check of a login that was made for a job, if there is one that still counts. Call with the fan-out's row locked.
update fan_out
set session_until = case when session_until = 'infinity' then now() + %(good_for)s::interval else session_until end
where job_id = %(job_id)s and session_until > now()
