-- One row for each asked day and product that 32 or more household-weeks of the 8 weeks up to the day bought: 4 a week.
-- Weeks are counted back from the day; every join on sales asks for rows with a day up to days.day. Placement is a plan
-- that is known 7 days ahead, so the coming week's is a feature; it is weighted by the days it covers.
with bought as (
    select d.day as snapshot, date_diff('day', t.day, d.day) // 7 as weeks_ago, t.product_id,
        count(distinct t.household_id) as households, count(distinct t.store_id) as stores,
        sum(t.quantity) as units, sum(t.sales_value) as spend,
        sum(t.sales_value + t.retail_disc) as shelf_value
    from days d
    join transactions t on t.day <= d.day and t.day > d.day - 56
    where t.quantity between 1 and 49      -- larger ones are fuel and coupons, no units of goods
    group by all
),
history as (
    select snapshot, product_id,
        coalesce(sum(households) filter (weeks_ago = 0), 0) as households_1w,
        coalesce(sum(households) filter (weeks_ago = 1), 0) as households_2nd_w,
        coalesce(sum(households) filter (weeks_ago = 2), 0) as households_3rd_w,
        coalesce(sum(households) filter (weeks_ago = 3), 0) as households_4th_w,
        coalesce(sum(households) filter (weeks_ago < 4), 0) / 4 as households_mean_4w,
        sum(households) / 8 as households_mean_8w,
        max(households) as households_max_8w,
        count(*) as weeks_sold_8w,
        coalesce(sum(stores) filter (weeks_ago = 0), 0) as stores_1w,
        sum(stores) / 8 as stores_mean_8w,
        sum(units) / sum(households) as units_per_household_8w,
        sum(spend) / sum(units) as price_8w,
        sum(spend) filter (weeks_ago = 0) / sum(units) filter (weeks_ago = 0) as price_1w,
        1 - sum(spend) / sum(shelf_value) as discount_8w,
        1 - sum(spend) filter (weeks_ago = 0) / sum(shelf_value) filter (weeks_ago = 0) as discount_1w
    from bought
    group by all
    having sum(households) >= 32
),
spans as (
    select d.day as snapshot, p.product_id, p.display_stores, p.front_stores, p.mailer_stores, p.mailer_cover_stores,
        greatest(0, date_diff('day', greatest(d.day + 1, p.week_start), least(d.day + 7, p.week_start + 6)) + 1) / 7
            as coming,
        greatest(0, date_diff('day', greatest(d.day - 6, p.week_start), least(d.day, p.week_start + 6)) + 1) / 7
            as last_week,
        greatest(0, date_diff('day', greatest(d.day - 55, p.week_start), least(d.day, p.week_start + 6)) + 1) / 56
            as eight_weeks
    from days d
    join placements p on p.day <= d.day + 7 and p.day > d.day - 63
),
placed as (
    select snapshot, product_id,
        sum(coming * display_stores) as display_stores_next_7d,
        sum(coming * front_stores) as front_stores_next_7d,
        sum(coming * mailer_stores) as mailer_stores_next_7d,
        sum(coming * mailer_cover_stores) as mailer_cover_stores_next_7d,
        sum(last_week * display_stores) as display_stores_1w,
        sum(last_week * mailer_stores) as mailer_stores_1w,
        sum(last_week * mailer_cover_stores) as mailer_cover_stores_1w,
        sum(eight_weeks * display_stores) as display_stores_8w,
        sum(eight_weeks * mailer_stores) as mailer_stores_8w,
        sum(eight_weeks * mailer_cover_stores) as mailer_cover_stores_8w
    from spans
    group by all
),
shoppers as (
    select d.day as snapshot,
        count(distinct t.household_id) filter (t.day > d.day - 7) as shoppers_1w,
        count(distinct t.household_id) filter (t.day <= d.day - 7) as shoppers_2nd_w
    from days d
    join transactions t on t.day <= d.day and t.day > d.day - 14
    group by all
)
select h.snapshot as day, h.* exclude (snapshot),
    h.price_1w / h.price_8w as price_change_1w,
    coalesce(p.display_stores_next_7d, 0) as display_stores_next_7d,
    coalesce(p.front_stores_next_7d, 0) as front_stores_next_7d,
    coalesce(p.mailer_stores_next_7d, 0) as mailer_stores_next_7d,
    coalesce(p.mailer_cover_stores_next_7d, 0) as mailer_cover_stores_next_7d,
    coalesce(p.display_stores_1w, 0) as display_stores_1w,
    coalesce(p.mailer_stores_1w, 0) as mailer_stores_1w,
    coalesce(p.mailer_cover_stores_1w, 0) as mailer_cover_stores_1w,
    coalesce(p.display_stores_8w, 0) as display_stores_8w,
    coalesce(p.mailer_stores_8w, 0) as mailer_stores_8w,
    coalesce(p.mailer_cover_stores_8w, 0) as mailer_cover_stores_8w,
    s.shoppers_1w / s.shoppers_2nd_w as shoppers_change_1w,
    coalesce(c.department, 'unknown') as department,
    coalesce(c.brand, 'unknown') as brand,
    coalesce(c.product_category, 'unknown') as product_category
from history h
join shoppers s using (snapshot)
left join placed p using (snapshot, product_id)
left join products c using (product_id)
