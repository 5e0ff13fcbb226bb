-- What a workspace defines over the Matatika wire: named things that are read and written whole.
create table resource (
  id text primary key,                          -- chosen by the client; a UUID but for profiles
  workspace_id uuid references workspace on delete cascade,  -- null: not of one workspace
  kind text not null check (kind in
    ('pipeline', 'component', 'plugin', 'dataset', 'channel', 'subscription', 'profile', 'apikey', 'workspace')),
  name text not null,                           -- unique in its workspace and kind
  body jsonb not null default '{}',
  sealed bytea,                                 -- sealed JSON object: settings, which may be secrets
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index resource_named on resource (workspace_id, kind, name) nulls not distinct;
create index resource_listed on resource (workspace_id, kind, created_at desc, id);

-- How far the extractors of pipelines have read: Meltano's state by its id.
create table pipeline_state (
  workspace_id uuid not null references workspace on delete cascade,
  state_id text not null,
  scope text not null default '',               -- the pipeline whose own it is; empty: the workspace's
  state jsonb not null,
  job_id uuid not null,
  updated_at timestamptz not null default now(),
  primary key (workspace_id, state_id)
);

-- What follows from a pipeline's job and has not been done yet: its start told, its end told, the pipelines it triggers.
create table pipeline_duty (
  job_id uuid primary key,                      -- written before the job, so no reference
  started_told boolean not null default false,
  delete_asked boolean not null default false,  -- gone for callers; removed as soon as it has ended
  created_at timestamptz not null default now()
);
create index pipeline_duty_delete on pipeline_duty (job_id) where delete_asked;

create table notification (
  id uuid primary key,
  workspace_id uuid not null references workspace on delete cascade,
  profile_id text not null,
  kind text not null,
  message text not null,
  body jsonb not null default '{}',             -- what it is about: pipeline, job
  resolved boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index notification_of_profile on notification (profile_id, created_at desc);
