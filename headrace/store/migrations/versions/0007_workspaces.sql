-- Workspaces that were made over a wire: their project, the job that made it, and their end.
alter table workspace
  add column project jsonb,                     -- {digest, commit}: the stored Meltano project in force; null: none was deployed
  add column init_job_id uuid,                  -- the job that makes the project; no reference: jobs go first
  add column deleted_at timestamptz;            -- hidden from then on; the row goes when its jobs have ended

-- What the duty that finishes deletions looks for.
create index workspace_deleted on workspace (id) where deleted_at is not null;
