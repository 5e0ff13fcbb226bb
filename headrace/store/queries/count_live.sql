-- Items in flight: admitted or running.
select count(*)::integer as live from step
where job_id = %(job_id)s and state in ('admitted', 'running') and item_id is not null
