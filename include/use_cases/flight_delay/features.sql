-- One row for each flight that is scheduled on the UTC day after the snapshot's: the schedule is known a day ahead.
-- Whether flights were late is known of those that arrived by the end of the snapshot's day, and the weather is what was
-- observed by then. A share of few flights leans towards one in four, about the rate of all: (late + 5) / (flights + 20).
with asked as (
    select d.day as snapshot, s.*, d.day + 1 as flown
    from days d
    join schedule s on s.day = d.day + 1
),
landed as (
    select d.day as snapshot, date_diff('day', a.day, d.day) as age, a.*, (a.arrival_delay > 15)::integer as late,
        date_diff('minute', a.arrived_at, (d.day + 1)::timestamp) as minutes_ago
    from days d
    join arrivals a on a.day <= d.day and a.day > d.day - 28
),
by_carrier as (
    select snapshot, carrier,
        (coalesce(sum(late) filter (age < 1), 0) + 5) / (count(*) filter (age < 1) + 20) as carrier_late_1d,
        (coalesce(sum(late) filter (age < 7), 0) + 5) / (count(*) filter (age < 7) + 20) as carrier_late_7d,
        (sum(late) + 5) / (count(*) + 20) as carrier_late_28d
    from landed
    group by all
),
by_airport as (
    select snapshot, from_airport,
        (coalesce(sum(late) filter (age < 1), 0) + 5) / (count(*) filter (age < 1) + 20) as airport_late_1d,
        (coalesce(sum(late) filter (age < 7), 0) + 5) / (count(*) filter (age < 7) + 20) as airport_late_7d,
        (sum(late) + 5) / (count(*) + 20) as airport_late_28d,
        (coalesce(sum(late) filter (minutes_ago < 180), 0) + 5) / (count(*) filter (minutes_ago < 180) + 20)
            as airport_late_3h,
        avg(departure_delay) filter (minutes_ago < 180) as airport_departure_delay_3h
    from landed
    group by all
),
by_route as (
    select snapshot, from_airport, to_airport,
        (coalesce(sum(late) filter (age < 7), 0) + 5) / (count(*) filter (age < 7) + 20) as route_late_7d,
        (sum(late) + 5) / (count(*) + 20) as route_late_28d,
        count(*) as route_flights_28d
    from landed
    group by all
),
by_destination as (
    select snapshot, to_airport,
        (coalesce(sum(late) filter (age < 1), 0) + 5) / (count(*) filter (age < 1) + 20) as destination_late_1d,
        (sum(late) + 5) / (count(*) + 20) as destination_late_28d
    from landed
    group by all
),
by_flight as (
    select snapshot, flight_key,
        (sum(late) + 5) / (count(*) + 20) as flight_late_28d,
        avg(arrival_delay) as flight_arrival_delay_28d,
        count(*) as flight_flights_28d
    from landed
    group by all
),
by_hour as (
    select snapshot, from_airport, hour(scheduled_at) as scheduled_hour,
        (coalesce(sum(late) filter (age < 7), 0) + 5) / (count(*) filter (age < 7) + 20) as hour_late_7d,
        (sum(late) + 5) / (count(*) + 20) as hour_late_28d
    from landed
    group by all
),
aircraft as (
    select snapshot, carrier, count(distinct tail) filter (age < 7) as carrier_aircraft_7d,
        count(*) filter (age < 7) / count(distinct tail) filter (age < 7) as carrier_flights_per_aircraft_7d
    from landed
    group by all
),
overall as (
    select snapshot, (coalesce(sum(late) filter (age < 1), 0) + 5) / (count(*) filter (age < 1) + 20) as all_late_1d,
        (sum(late) + 5) / (count(*) + 20) as all_late_28d
    from landed
    group by all
),
sky as (
    select d.day as snapshot, w.airport,
        arg_max(w.temperature, w.observed_at) as temperature_last,
        arg_max(w.dew_point, w.observed_at) as dew_point_last,
        arg_max(w.humidity, w.observed_at) as humidity_last,
        arg_max(w.pressure, w.observed_at) as pressure_last,
        arg_max(w.visibility, w.observed_at) as visibility_last,
        arg_max(w.wind_speed, w.observed_at) as wind_speed_last,
        max(w.wind_gust) filter (w.observed_at > (d.day + 1)::timestamp - interval 6 hour) as wind_gust_6h,
        sum(w.precipitation) filter (w.observed_at > (d.day + 1)::timestamp - interval 6 hour) as precipitation_6h,
        sum(w.precipitation) as precipitation_24h,
        min(w.visibility) as visibility_least_24h,
        arg_max(w.pressure, w.observed_at) - arg_min(w.pressure, w.observed_at) as pressure_change_24h
    from days d
    join weather w on w.day = d.day
    group by all
),
crowd as (
    select snapshot, from_airport, count(*) as airport_flights_planned
    from asked
    group by all
)
select f.snapshot as day, f.flight_key,
    f.local_minute, f.arrival_minute, (f.arrival_minute - f.local_minute + 1440) % 1440 as scheduled_minutes, f.distance,
    date_diff('minute', f.flown::timestamp, f.scheduled_at) as minutes_ahead,
    date_diff('day', date '1970-01-05', (f.scheduled_at - interval 5 hour)::date) % 7 + 1 as weekday,
    c.airport_flights_planned,
    coalesce(p.carrier_late_1d, 0.25) as carrier_late_1d,
    coalesce(p.carrier_late_7d, 0.25) as carrier_late_7d,
    coalesce(p.carrier_late_28d, 0.25) as carrier_late_28d,
    o.* exclude (snapshot, from_airport),
    r.* exclude (snapshot, from_airport, to_airport),
    t.* exclude (snapshot, to_airport),
    n.* exclude (snapshot, flight_key),
    coalesce(h.hour_late_7d, 0.25) as hour_late_7d,
    coalesce(h.hour_late_28d, 0.25) as hour_late_28d,
    a.* exclude (snapshot, carrier),
    g.* exclude (snapshot),
    w.* exclude (snapshot, airport),
    f.carrier, f.from_airport, f.to_airport
from asked f
left join by_carrier p using (snapshot, carrier)
left join by_airport o using (snapshot, from_airport)
left join by_route r using (snapshot, from_airport, to_airport)
left join by_destination t using (snapshot, to_airport)
left join by_flight n using (snapshot, flight_key)
left join by_hour h on h.snapshot = f.snapshot and h.from_airport = f.from_airport
    and h.scheduled_hour = hour(f.scheduled_at)
left join aircraft a on a.snapshot = f.snapshot and a.carrier = f.carrier
left join overall g on g.snapshot = f.snapshot
left join sky w on w.snapshot = f.snapshot and w.airport = f.from_airport
left join crowd c on c.snapshot = f.snapshot and c.from_airport = f.from_airport
