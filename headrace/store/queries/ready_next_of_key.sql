-- Make the key's next waiting job ready, first in, first out. Call with the lane's row locked.
update job set ready = true
where id = (select id from job where key = %(key)s and state = 'waiting' and not ready
            order by priority desc, seq limit 1)
returning id
