-- Whether anything waits for a slot, or for a moment that has come.
select exists (select from job where state = 'scheduled' and due_at <= now())
    or exists (select from step where state = 'retryable' and due_at <= now())
    or exists (select from job where state = 'waiting' and ready and not fan_out)
    or exists (select from fan_out where open and pause_requested_at is null and awaits is null) as found
