-- One job with its steps, by one of its names.
select j.*, w.name as workspace,
       coalesce((select jsonb_agg(jsonb_build_object('ordinal', s.ordinal, 'name', s.name, 'kind', s.kind, 'state', s.state,
                   'attempt', s.attempt, 'started_at', s.started_at, 'finished_at', s.finished_at, 'cause', s.cause,
                   'output', s.output) order by s.ordinal)
                 from step s where s.job_id = j.id), '[]') as steps
from job j join workspace w on w.id = j.workspace_id
