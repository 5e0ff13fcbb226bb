-- What tenants hold for a plan: what each has linked in a flow, oldest first, and its metadata. One row for each that is asked for, whether it
-- holds anything or not.
--
-- Settings, catalogs and bookmarks are not read, for they may be megabytes. The list stands behind a select, so that the plan is kept: what is
-- known of one list would be used to plan each list anew.
select a.workspace_id, a.flow_id, a.tenant_id, json_build_object(
         'links', coalesce((
           select json_agg(json_build_object(
                    'id', c.id, 'role', c.role, 'connector', c.connector, 'bookmarked', c.bookmark is not null,
                    'dangling', c.symlink is not null and not exists (
                      select from connection o
                      where o.workspace_id = c.workspace_id and o.flow_id = c.symlink ->> 'flow' and o.tenant_id = c.symlink ->> 'tenant'
                        and o.role = c.symlink ->> 'role' and o.connector = c.connector and o.symlink is null)
                  ) order by c.created_at, c.id)
           from connection c
           where c.workspace_id = a.workspace_id and c.flow_id = a.flow_id and c.tenant_id = a.tenant_id), '[]'),
         'metadata', (select t.metadata from tenant t where t.workspace_id = a.workspace_id and t.tenant_id = a.tenant_id)
       )::text as held
from jsonb_to_recordset((select %(asked)s::jsonb)) as a (workspace_id uuid, flow_id text, tenant_id text)
