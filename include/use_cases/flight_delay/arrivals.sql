-- The flights that arrived, on the day that their delay is known. When they touched down is not in the file: it is the
-- time of departure and in the air and half an hour on the ground, which puts no flight more than minutes off.
-- Cancelled and diverted flights have no arrival delay and are not here.
select carrier || flight || ' ' || origin || ' ' || strftime(scheduled_at, '%H:%M') as flight_key,
    scheduled_at, scheduled_at + to_minutes(departure_delay + air_time + 30) as arrived_at,
    carrier, from_airport, to_airport, tail, departure_delay, arrival_delay
from (
    select carrier, flight::integer as flight, origin, origin as from_airport, dest as to_airport, tailnum as tail,
        time_hour::timestamptz::timestamp + to_minutes(minute::integer) as scheduled_at,
        dep_delay::integer as departure_delay, arr_delay::integer as arrival_delay, air_time::integer as air_time
    from flights
    where arr_delay is not null
)
