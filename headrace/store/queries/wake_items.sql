-- Items whose pause is over may be tried again.
update step set state = 'pending', due_at = null
where (job_id, ordinal) in (select job_id, ordinal from step where state = 'retryable' and due_at <= now()
                            order by due_at limit 1000 for update skip locked)
