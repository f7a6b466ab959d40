-- One row for each product and week: in how many stores it is displayed, and in how many the mailer shows it.
-- The file's week turns at about 05:00 UTC on a Monday, midnight of the shops. Here it begins with that Monday, so the
-- first five hours of a Monday count to the new week though the shops still had the old one.
select product_id, date '2017-01-02' + 7 * (week - 2)::integer as week_start,
    count(*) filter (display_location <> '0') as display_stores,
    count(*) filter (display_location in ('1', '2', '3', '4')) as front_stores,
    count(*) filter (mailer_location <> '0') as mailer_stores,
    count(*) filter (mailer_location in ('D', 'F', 'H', 'J', 'L')) as mailer_cover_stores
from promotions
group by all
