-- One job with its steps, or with the counts of its items, by one of its names.
select j.*, w.name as workspace,
       case when j.fan_out then '[]'::jsonb else
         coalesce((select jsonb_agg(jsonb_build_object('ordinal', s.ordinal, 'name', s.name, 'kind', s.kind, 'state', s.state,
                     'attempt', s.attempt, 'started_at', s.started_at, 'finished_at', s.finished_at, 'cause', s.cause,
                     'output', s.output) order by s.ordinal)
                   from step s where s.job_id = j.id), '[]') end as steps,
       (select jsonb_build_object('total', f.total, 'completed', f.completed, 'failed', f.failed, 'cancelled', f.cancelled,
                 'pause_requested_at', f.pause_requested_at, 'awaits', f.awaits, 'stop_cause', f.stop_cause, 'live', case when not f.open then 0 else
                   (select count(*) from step s where s.job_id = f.job_id and s.state in ('admitted', 'running')
                    and s.item_id is not null) end)
        from fan_out f where f.job_id = j.id and j.fan_out) as items
from job j join workspace w on w.id = j.workspace_id
