-- Jobs whose pause is over wait again; they kept their key all the while.
update job set state = 'waiting', updated_at = now()
where id in (select id from job where state = 'scheduled' and due_at <= now() order by due_at limit 1000 for update skip locked)
returning id
