-- A job of items has ended: logins that were there for it alone go, those that it was making are made no longer, and those jobs are named
-- that await its end. Only such a job itself sets what it awaits, so the names stay right without a lock.
with gone as (
  delete from auth_session where job_id = %(job_id)s
),
made as (
  update auth_session set pending_job = null, updated_at = now() where pending_job = %(job_id)s
)
select f.job_id, (select count(*) from step s where s.job_id = %(job_id)s and s.state = 'completed' and s.item_id is not null) as completed,
       (select s.cause from step s where s.job_id = %(job_id)s and s.item_id is not null order by s.ordinal limit 1) as cause
from fan_out f where f.awaits = %(job_id)s order by f.job_id
