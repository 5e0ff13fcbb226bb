-- What a job owes goes with the job. Without this each job that retention deletes had the whole history of deliveries read.
create index delivery_of_job on delivery (job_id, seq desc);

-- The few that failed, among all that went well.
create index delivery_failed on delivery (workspace_id, seq desc) where state = 'failed';
