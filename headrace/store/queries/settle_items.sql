-- What tries made of items of one job, each under its own fencing token, and what that makes of the fan-out's counts. An item that somebody
-- else owns is not settled: whoever asked compares the number of those that are.
-- Call with the fan-out's row locked. Events are told in the order in which the items are named.
with settled as (
  update step set state = e.state, cause = e.cause, output = step.output || e.output, result = e.result,
                  appended = e.appended, due_at = e.due_at, failures = step.failures + e.failed::int,
                  finished_at = case when e.final then now() end
  from unnest(%(ordinals)s::integer[], %(tokens)s::integer[], %(states)s::text[], %(causes)s::jsonb[], %(outputs)s::jsonb[],
              %(results)s::bytea[], %(appended)s::bytea[], %(due_at)s::timestamptz[], %(failed)s::boolean[],
              %(final)s::boolean[], %(outcomes)s::text[])
         with ordinality as e (ordinal, token, state, cause, output, result, appended, due_at, failed, final, outcome, nth)
  where step.job_id = %(job_id)s and step.ordinal = e.ordinal and step.attempt = e.token and step.state = 'running'
  returning step.job_id, step.ordinal, step.attempt, step.name, step.item_id, step.state, step.cause, e.outcome, e.final, e.nth
),
tried as (
  update step_attempt set finished_at = now(), outcome = settled.outcome, cause = settled.cause
  from settled where step_attempt.job_id = settled.job_id and step_attempt.ordinal = settled.ordinal
    and step_attempt.number = settled.attempt
),
sums as (
  select count(*)::integer as settled,
         (count(*) filter (where state = 'completed'))::integer as completed,
         (count(*) filter (where state = 'failed'))::integer as failed,
         (count(*) filter (where state = 'cancelled'))::integer as cancelled
  from settled
),
counted as (
  update fan_out set completed = fan_out.completed + sums.completed, failed = fan_out.failed + sums.failed,
                     cancelled = fan_out.cancelled + sums.cancelled
  from sums where fan_out.job_id = %(job_id)s
  returning fan_out.completed, fan_out.failed, fan_out.cancelled, fan_out.total
),
told as (
  insert into event (job_id, kind, data)
  select job_id, 'step-' || state, jsonb_build_object('step', name, 'item', item_id, 'ordinal', ordinal, 'attempt', attempt)
  from settled where final order by nth
)
select counted.*, sums.settled from counted, sums
