-- What stands between one job and a worker: who holds its key, how many of the key go before it, and how full the slots are.
select
  (select h.id from job h
   where h.key = j.key and h.state in ('admitted', 'running', 'paused') and h.id <> j.id limit 1) as holder,
  (select count(*) from job b
   where b.key = j.key and b.state = 'waiting' and b.id <> j.id
     and (b.ready or (b.priority, -b.seq) > (j.priority, -j.seq))) as ahead,
  (select count(*) from job o where o.state in ('admitted', 'running') and not o.fan_out)
    + (select count(*) from fan_out f join step s on s.job_id = f.job_id
       where f.open and s.state in ('admitted', 'running') and s.item_id is not null) as busy
from job j where j.id = %(id)s
