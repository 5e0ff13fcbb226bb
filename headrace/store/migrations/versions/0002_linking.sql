alter table connection
  add column symlink jsonb,                     -- {flow, tenant, role}: whose settings and catalog these are
  add column generation integer not null default 1;  -- raised by each new link: a job begun before must not undo it

-- What is kept of a tenant beside its connections. Rows come with the first link, config, mapping or metadata.
create table tenant (
  workspace_id uuid not null references workspace on delete cascade,
  tenant_id text not null,
  config bytea,                                 -- sealed JSON object: keys that scripts and people keep there
  mapping jsonb,
  metadata jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (workspace_id, tenant_id)
);

create table schedule (
  id uuid primary key,
  workspace_id uuid not null references workspace on delete cascade,
  dialect text not null,
  definition text not null,
  tenant_id text not null,
  connector text not null default '',           -- empty: of the definition as a whole
  expression text not null,
  enabled boolean not null,
  options bytea,                                -- sealed JSON object: what the job is asked with
  anchor_at timestamptz not null,               -- from which rates count
  next_at timestamptz,                          -- null: disabled, or it never comes again
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (workspace_id, dialect, definition, tenant_id, connector)
);
create index schedule_due on schedule (next_at) where next_at is not null;

-- One row per instant that a schedule has met: whatever node looks, it happens once.
create table schedule_firing (
  schedule_id uuid not null references schedule on delete cascade,
  instant timestamptz not null,
  outcome text not null check (outcome in ('submitted', 'skipped', 'missed', 'failed')),
  reason text not null default '',
  missed integer not null default 0,            -- instants before this one that nobody was there for
  job_id uuid,
  fired_at timestamptz not null default now(),
  primary key (schedule_id, instant)
);

-- The key pair with which a workspace's own servers vouch for a tenant in a browser.
create table token_signing (
  workspace_id uuid primary key references workspace on delete cascade,
  private_key bytea not null,                   -- sealed PEM
  public_key text not null,                     -- PEM
  created_at timestamptz not null default now()
);
