-- What Meltano has discovered for the extractors of pipelines, kept for their next runs.
create table pipeline_catalog (
  workspace_id uuid not null references workspace on delete cascade,
  scope text not null,                          -- the pipeline
  extractor text not null,
  digest text not null,                         -- of the project and the definitions that it was discovered with
  sealed bytea not null,                        -- the catalog, and Meltano's key of it: a hash of settings
  job_id uuid not null,
  updated_at timestamptz not null default now(),
  primary key (workspace_id, scope, extractor)
);
