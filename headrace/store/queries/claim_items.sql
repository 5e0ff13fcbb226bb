-- Take items for one try each: the raised attempt number fences whoever had one before. Also tells whether somebody asked its job to end.
-- No item is named twice. The rows are locked in one order everywhere: after a take-over, two workers may be at the same items.
with before as (
  select s.job_id, s.ordinal, s.state, w.node_id, w.node_name
  from unnest(%(job_ids)s::uuid[], %(ordinals)s::integer[], %(node_ids)s::uuid[], %(node_names)s::text[])
         as w (job_id, ordinal, node_id, node_name)
  join step s on s.job_id = w.job_id and s.ordinal = w.ordinal
  where s.item_id is not null and s.state in ('admitted', 'running')
  order by s.job_id, s.ordinal
  for update of s
),
claimed as (
  update step set state = 'running', attempt = step.attempt + 1, started_at = coalesce(step.started_at, now()),
                  crashes = step.crashes + (before.state = 'running')::int
  from before where step.job_id = before.job_id and step.ordinal = before.ordinal
  returning step.*
),
lost as (
  update step_attempt set finished_at = now(), outcome = 'lost'
  from claimed where step_attempt.job_id = claimed.job_id and step_attempt.ordinal = claimed.ordinal
    and step_attempt.finished_at is null
),
begun as (
  insert into step_attempt (job_id, ordinal, number, node_id, node_name)
  select c.job_id, c.ordinal, c.attempt, b.node_id, b.node_name
  from claimed c join before b on b.job_id = c.job_id and b.ordinal = c.ordinal
)
select claimed.*, j.cancel_requested_at from claimed join job j on j.id = claimed.job_id
