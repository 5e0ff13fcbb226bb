-- Whether the try still owns its item, and whether somebody asked the job to end. No row: it does not.
select j.cancel_requested_at from step s join job j on j.id = s.job_id
where s.job_id = %(job_id)s and s.ordinal = %(ordinal)s and s.attempt = %(token)s and s.state = 'running'
