-- Let an item be as it was before a try under this fencing token: it has a ticket, and no worker. No row: somebody else owns it.
with back as (
  update step set state = 'admitted'
  where job_id = %(job_id)s and ordinal = %(ordinal)s and attempt = %(token)s and state = 'running'
  returning job_id, ordinal, attempt
)
update step_attempt set finished_at = now(), outcome = 'interrupted'
from back where step_attempt.job_id = back.job_id and step_attempt.ordinal = back.ordinal and step_attempt.number = back.attempt
returning back.ordinal
