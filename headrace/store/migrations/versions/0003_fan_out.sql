-- Jobs of items: a job with a row in `fan_out`, and a row in `step` for each of its items.

alter table job add column fan_out boolean not null default false;
drop index job_ready;
create index job_ready on job (workspace_id, tenant_id, priority desc, seq) where state = 'waiting' and ready and not fan_out;

-- Its row lock serialises everything that changes the set of a job's items or what may be started of it; see admit_next.sql.
create table fan_out (
  job_id uuid primary key references job on delete cascade,
  open boolean not null default true,           -- false when the job has ended
  max_concurrent integer,                       -- null: bounded by slots and pool alone
  pool text,
  pool_size integer,
  max_items integer,
  total integer not null default 0,
  completed integer not null default 0,
  failed integer not null default 0,
  cancelled integer not null default 0,
  pause_requested_at timestamptz,
  check (completed + failed + cancelled <= total)
);
create index fan_out_open on fan_out (job_id) where open;
create index fan_out_pool on fan_out (pool) where open and pool is not null;
alter table fan_out set (fillfactor = 50);

alter table step
  add column item_id text,                      -- null: a step that is no item
  add column parent integer,
  add column input bytea,                       -- JSON; bytes, because jsonb refuses NUL and lone surrogates
  add column timeout_seconds double precision,
  add column max_attempts integer,
  add column failures integer not null default 0,
  add column crashes integer not null default 0,
  add column due_at timestamptz,
  add column result bytea,
  add column appended bytea;
create unique index step_item_id on step (item_id) where item_id is not null;
create index step_item_next on step (job_id, ordinal) where state = 'pending' and item_id is not null;
create index step_item_live on step (job_id) where state in ('admitted', 'running') and item_id is not null;
create index step_item_due on step (due_at) where state = 'retryable';

create table step_attempt (
  job_id uuid not null,
  ordinal integer not null,
  number integer not null,
  node_id uuid not null,
  node_name text not null,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  outcome text,                                 -- null while it runs, or when it ended without a word
  cause jsonb,
  primary key (job_id, ordinal, number),
  foreign key (job_id, ordinal) references step on delete cascade
);

-- Each item has a log of its own: any worker may write it while others write those of its siblings.
alter table log_chunk add column step integer not null default -1;
alter table log_chunk drop constraint log_chunk_pkey;
alter table log_chunk add primary key (job_id, step, seq);

-- Results of items are independent of each other: one that cannot be delivered holds up no other.
alter table delivery add column ordered boolean not null default true;
drop index delivery_order;
create index delivery_order on delivery (job_id, sink, seq) where state = 'pending' and ordered;
