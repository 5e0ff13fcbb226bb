-- A job of the key has ended. Its own statement: the row lock must be held before the next job of the key is looked for.
update lane set active = active - 1 where key = %(key)s returning active
