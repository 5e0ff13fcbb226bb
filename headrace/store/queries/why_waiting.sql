-- What stands between one job and a worker: who holds its key, how many of the key go before it, and how full the slots are. Those in line
-- stand in one index, the head of the line in another, or, if it is a job of items, among the few that are open: all jobs of a key are one tenant's.
select
  (select h.id from job h
   where h.key = j.key and h.state in ('admitted', 'running', 'paused') and h.id <> j.id limit 1) as holder,
  (select count(*) from job b
   where b.key = j.key and b.state = 'waiting' and not b.ready and not j.ready and (b.priority, -b.seq) > (j.priority, -j.seq))
    + (select count(*) from job b
       where b.workspace_id = j.workspace_id and b.tenant_id = j.tenant_id and b.key = j.key
         and b.state = 'waiting' and b.ready and not b.fan_out and b.id <> j.id)
    + (select count(*) from fan_out f join job b on b.id = f.job_id
       where f.open and b.key = j.key and b.state = 'waiting' and b.ready and b.id <> j.id) as ahead,
  (select count(*) from job o where o.state in ('admitted', 'running') and not o.fan_out)
    + (select count(*) from fan_out f join step s on s.job_id = f.job_id
       where f.open and s.state in ('admitted', 'running') and s.item_id is not null) as busy
from job j where j.id = %(id)s
