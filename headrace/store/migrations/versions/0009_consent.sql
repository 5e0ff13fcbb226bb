-- Its owner is being asked for consent anew; `disconnected` says that there is none.
alter table connection add column reconnecting boolean not null default false;
