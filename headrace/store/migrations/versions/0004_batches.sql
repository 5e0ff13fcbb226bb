create table batch (
  id uuid primary key,
  workspace_id uuid not null references workspace on delete cascade,
  project text not null,
  name text not null,
  definition bytea not null,                    -- JSON in the dialect's words; bytes, because jsonb refuses NUL
  secrets bytea not null,                       -- sealed JSON object
  paused boolean not null default false,
  reason jsonb,
  source text not null default 'API' check (source in ('API', 'CODE')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_run_at timestamptz,
  unique (workspace_id, project, name)
);
