-- The same events out of PostgreSQL, after `perennial simulate --connection clickstream`.
select event_id, visitor_id, visit_id, item_id, event, occurred_at
from clickstream_simulated
where occurred_at >= :start and occurred_at < :end
