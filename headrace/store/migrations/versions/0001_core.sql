create table workspace (
  id uuid primary key,
  name text not null unique,
  definition jsonb not null default '{}',       -- webhooks' secrets are sealed, never plain
  created_at timestamptz not null default now()
);

create table api_key (
  id uuid primary key,
  workspace_id uuid references workspace on delete cascade,  -- null: every workspace
  name text not null,
  role text not null check (role in ('admin', 'environment', 'developer', 'viewer', 'public')),
  digest bytea not null unique,                 -- SHA-256 of a 256-bit random key: nothing to stretch
  hint text not null,                           -- the first characters, to tell keys apart
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  revoked_at timestamptz
);

create table connection (
  id uuid primary key,
  workspace_id uuid not null references workspace on delete cascade,
  flow_id text not null,
  tenant_id text not null,
  role text not null check (role in ('source', 'target', 'connector')),
  connector text not null,
  config bytea,                                 -- sealed JSON object
  declared_digest text,                         -- of the file that declared it: an unchanged file does not undo saved tokens
  catalog jsonb,
  field_map jsonb,
  bookmark jsonb,
  bookmark_job_id uuid,
  disconnected boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (workspace_id, flow_id, tenant_id, role, connector)
);
create index connection_of_tenant on connection (workspace_id, tenant_id);

create table job (
  id uuid primary key,
  seq bigint generated always as identity,
  workspace_id uuid not null references workspace on delete cascade,
  tenant_id text not null,
  dialect text not null,
  definition text not null,
  public_id text not null,
  root text not null unique,
  name text not null,
  state text not null check (state in
    ('scheduled', 'waiting', 'admitted', 'running', 'paused', 'completed', 'failed', 'cancelled')),
  key text,
  ready boolean not null default false,         -- head of its key (or keyless): only such jobs are looked at for admission
  priority integer not null default 0,
  attempt integer not null default 0,
  crashes integer not null default 0,
  failures integer not null default 0,
  trigger text not null,
  started_by text not null default '',
  idempotency_key text,
  idempotency_digest bytea,                     -- of the request that first used the key
  details jsonb not null default '{}',
  cause jsonb,
  node_id uuid,
  created_at timestamptz not null default now(),
  due_at timestamptz,
  admitted_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now(),
  cancel_requested_at timestamptz,
  check ((state in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
  check (state not in ('admitted', 'running') or ready)
);
-- The truth behind "never two": whatever the code above it does, a second holder of a key is refused by the database.
create unique index job_key_held on job (key) where key is not null and state in ('admitted', 'running', 'paused');
create unique index job_idempotency on job (workspace_id, idempotency_key) where idempotency_key is not null;
create index job_ready on job (workspace_id, tenant_id, priority desc, seq) where state = 'waiting' and ready;
create index job_next_of_key on job (key, priority desc, seq) where key is not null and state = 'waiting' and not ready;
create index job_occupied on job (id) where state in ('admitted', 'running');
create index job_due on job (due_at) where state = 'scheduled';
create index job_history on job (workspace_id, definition, tenant_id, seq desc);
create index job_recent on job (workspace_id, seq desc);
create index job_finished on job (finished_at) where finished_at is not null;
alter table job set (fillfactor = 85);

create table job_plan (
  job_id uuid primary key references job on delete cascade,
  plan jsonb not null,
  sealed bytea                                  -- sealed JSON object: the inputs by name
);

create table step (
  job_id uuid not null references job on delete cascade,
  ordinal integer not null,
  name text not null,
  kind text not null,
  state text not null default 'pending' check (state in
    ('pending', 'admitted', 'running', 'retryable', 'completed', 'failed', 'cancelled', 'skipped')),
  attempt integer not null default 0,
  started_at timestamptz,
  finished_at timestamptz,
  cause jsonb,
  output jsonb not null default '{}',
  primary key (job_id, ordinal)
);
alter table step set (fillfactor = 85);

create table attempt (
  job_id uuid not null references job on delete cascade,
  number integer not null,
  node_id uuid not null,
  node_name text not null,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  outcome text,                                 -- null while it runs, or when it ended without a word
  primary key (job_id, number)
);

create table event (
  id bigint generated always as identity primary key,
  job_id uuid not null references job on delete cascade,
  kind text not null,
  at timestamptz not null default now(),
  data jsonb not null default '{}'
);
create index event_of_job on event (job_id, id);

-- One row per exclusivity key that any unfinished job wants; its row lock serialises submit and finish of that key.
create table lane (
  key text primary key,
  active integer not null check (active >= 0)
);

-- Fair queueing: each tenant's virtual time, and the server's.
create table tenant_turn (
  workspace_id uuid not null references workspace on delete cascade,
  tenant_id text not null,
  turn double precision not null,
  primary key (workspace_id, tenant_id)
);
create table fair_clock (only_row boolean primary key default true check (only_row), turn double precision not null);
insert into fair_clock (turn) values (0);

create table node (
  id uuid primary key,
  name text not null,
  roles text[] not null,
  slots integer not null,
  draining boolean not null default false,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
);

create table delivery (
  id uuid primary key,
  workspace_id uuid not null references workspace on delete cascade,
  tenant_id text not null,
  job_id uuid references job on delete cascade,
  event_id bigint,
  seq bigint generated always as identity,
  sink text not null,                           -- orders deliveries: one job's to one sink go one after the other
  topic text not null,
  url text not null,
  body bytea not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  locked_until timestamptz,
  last_status integer,
  last_error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index delivery_due on delivery (due_at) where state = 'pending';
create index delivery_of_sink on delivery (sink, due_at, seq) where state = 'pending';
create index delivery_order on delivery (job_id, sink, seq) where state = 'pending';
create index delivery_history on delivery (workspace_id, seq desc);

create table log_chunk (
  job_id uuid not null references job on delete cascade,
  seq integer not null,
  first_line bigint not null,
  line_count integer not null,
  bytes integer not null,
  path text not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  primary key (job_id, seq)
);

create table script (
  digest text primary key,
  path text not null,
  bytes bigint not null,
  created_at timestamptz not null default now()
);

create table setting (
  name text primary key,
  value jsonb not null
);
