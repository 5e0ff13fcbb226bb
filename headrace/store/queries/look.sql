-- What the duties of a server have to do, beside letting jobs through: one read in place of one for each of them.
select
  now() as looked_at,
  exists (select from delivery where state = 'pending' and due_at < now() + interval '1 second') as deliveries_due,
  exists (select from schedule where next_at <= now()) as schedules_due,
  exists (select from pipeline_duty) as jobs_followed,
  exists (select from workspace where deleted_at is not null) as workspaces_leave,
  (select coalesce(md5(string_agg(concat_ws('/', workspace_id, kind, name, number, changed_at), '\n'
                                  order by workspace_id, kind, name)), '') from deployed) as deployed,
  (select coalesce(md5(string_agg(concat_ws('/', id, xmin), ',' order by id)), '')
   from workspace where deleted_at is null) as workspaces
