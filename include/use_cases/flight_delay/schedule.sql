-- What the schedule says about a flight, and nothing that is known only once it has left.
-- hhmm are no minutes: 1545 is 15:45. Only time_hour is UTC; hour and minute are the airport's own time.
select carrier || flight || ' ' || origin || ' ' || strftime(scheduled_at, '%H:%M') as flight_key,
    scheduled_at, carrier, from_airport, to_airport, distance, local_minute, arrival_minute
from (
    select carrier, flight::integer as flight, origin, origin as from_airport, dest as to_airport,
        distance::integer as distance,
        time_hour::timestamptz::timestamp + to_minutes(minute::integer) as scheduled_at,
        hour::integer * 60 + minute::integer as local_minute,
        sched_arr_time::integer // 100 * 60 + sched_arr_time::integer % 100 as arrival_minute   -- the destination's time
    from flights
)
