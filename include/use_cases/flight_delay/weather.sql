-- Hourly observations of the three airports, each known in the hour that it was made.
select origin as airport, time_hour::timestamptz::timestamp as observed_at, temp::double as temperature,
    dewp::double as dew_point, humid::double as humidity, wind_speed::double as wind_speed,
    wind_gust::double as wind_gust, precip::double as precipitation, pressure::double as pressure,
    visib::double as visibility
from weather
