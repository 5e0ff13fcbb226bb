-- Until when a job may start items on the check of its login that was made for it: a check counts from its first use, for nobody knows
-- how long its items wait for a slot. Infinity: not used yet.
alter table fan_out add column session_until timestamptz;
