-- Flows and connectors that came over the API: each version is written once and never changed.
create table deployment (
  workspace_id uuid not null references workspace on delete cascade,
  kind text not null check (kind in ('flow', 'connector')),
  name text not null,                           -- the flow's id, or the connector's name
  number integer not null,                      -- 1 is the first version
  digest text not null,                         -- of all that the version means: the same content is the same version
  script text,                                  -- digest of the stored folder with its files; null: none but definitions
  file_count integer not null,
  size_bytes bigint not null,
  message text not null default '',
  deployed_by text not null,                    -- name of the key
  deployed_at timestamptz not null default now(),
  sealed bytea not null,                        -- sealed JSON object: the definition as read, and the files it was read from
  primary key (workspace_id, kind, name, number),
  unique (workspace_id, kind, name, digest)
);

-- Which version of each is in force.
create table deployed (
  workspace_id uuid not null references workspace on delete cascade,
  kind text not null,
  name text not null,
  number integer not null,
  changed_by text not null,
  changed_at timestamptz not null default clock_timestamp(),
  primary key (workspace_id, kind, name),
  foreign key (workspace_id, kind, name, number) references deployment
);
