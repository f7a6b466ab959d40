-- Whether a flight scheduled on the day after the snapshot's arrived more than 15 minutes late. Evening flights arrive on
-- the UTC day after that, hence a horizon of two days. A cancelled flight never arrives: it has no label.
select d.day, a.flight_key, (a.arrival_delay > 15)::integer as late_15m
from days d
join arrivals a on a.day > d.day and a.day <= d.day + 2 and a.scheduled_at::date = d.day + 1
