-- Jobs by state: all that have not ended, and with %(ended)s those that ended within a day. Each part goes by an index of its own.
select state, count(*) as jobs from (
  select state, workspace_id from job where state in ('admitted', 'running')
  union all
  select state, workspace_id from job where state = 'waiting' and ready and not fan_out
  union all
  select state, workspace_id from job where state = 'waiting' and not ready and key is not null
  union all
  select state, workspace_id from job where state = 'scheduled'
  union all
  select j.state, j.workspace_id from fan_out f join job j on j.id = f.job_id
  where f.open and (j.state = 'paused' or j.state = 'waiting' and j.ready)
  union all
  select state, workspace_id from job where %(ended)s and finished_at > now() - interval '1 day'
) standing
where %(workspace_id)s::uuid is null or workspace_id = %(workspace_id)s
group by state
