-- How many more jobs the live workers can start now.
select greatest(0,
    coalesce((select sum(slots) from node
              where not draining and seen_at > now() - make_interval(secs => %(node_ttl_seconds)s)), 0)
    - (select count(*) from job where state in ('admitted', 'running')))::int as free_slots
