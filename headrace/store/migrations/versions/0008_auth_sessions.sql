-- Kept logins of automation projects.
create table auth_session (
  id uuid primary key,
  workspace_id uuid not null references workspace on delete cascade,
  project text not null,
  name text not null,
  kind text not null check (kind in ('credentials', 'recorder', 'runtime')),
  status text not null default 'expired' check (status in ('ready', 'expired')),  -- pending is told by pending_job
  sealed bytea not null,                        -- sealed JSON object: parameters, state, proxy
  generation integer not null default 0,
  checked_at timestamptz,
  failed_at timestamptz,
  failure jsonb,
  failed_remaking boolean not null default false,
  pending_job uuid,                             -- what makes it at the moment
  job_id uuid,                                  -- the job for which alone it is there
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (workspace_id, project, name)
);
create index auth_session_pending on auth_session (pending_job) where pending_job is not null;
create index auth_session_of_job on auth_session (job_id) where job_id is not null;

alter table fan_out
  add column awaits uuid,                       -- the job that has to end before items are started
  add column stop_cause jsonb;                  -- why it pauses or was ended, where nobody asked for it
create index fan_out_awaits on fan_out (awaits) where awaits is not null;
