-- One row for each asked day and each household seen in the 90 days up to it. Every join on a source asks for rows
-- with a day up to days.day; the leak check holds that.
with lines as (
    select d.day as snapshot, date_diff('day', t.day, d.day) as age, t.household_id, t.basket_id, t.product_id,
        t.store_id, t.sales_value, t.retail_disc, t.coupon_disc + t.coupon_match_disc as coupon_value,
        t.coupon_disc > 0 as redeems
    from days d
    join transactions t on t.day <= d.day and t.day > d.day - 90
),
baskets as (
    select snapshot, household_id, basket_id,
        min(age) as age, any_value(store_id) as store_id, sum(sales_value) as spend, sum(retail_disc) as discount,
        sum(coupon_value) as coupon_value, count(*) filter (redeems) as coupon_lines
    from lines
    group by all
),
shopping as (
    select snapshot, household_id,
        min(age) as days_since_basket,
        max(age) as days_since_first_basket_90d,
        min(age) filter (coupon_lines > 0) as days_since_coupon,
        count(*) filter (age < 1) as baskets_1d,
        count(*) filter (age < 7) as baskets_7d,
        count(*) filter (age < 30) as baskets_30d,
        count(*) as baskets_90d,
        coalesce(sum(spend) filter (age < 1), 0) as spend_1d,
        coalesce(sum(spend) filter (age < 7), 0) as spend_7d,
        coalesce(sum(spend) filter (age < 30), 0) as spend_30d,
        sum(spend) as spend_90d,
        coalesce(sum(discount) filter (age < 1), 0) as discount_1d,
        coalesce(sum(discount) filter (age < 7), 0) as discount_7d,
        coalesce(sum(discount) filter (age < 30), 0) as discount_30d,
        sum(discount) as discount_90d,
        coalesce(sum(coupon_lines) filter (age < 7), 0) as coupon_lines_7d,
        coalesce(sum(coupon_lines) filter (age < 30), 0) as coupon_lines_30d,
        sum(coupon_lines) as coupon_lines_90d,
        count(*) filter (coupon_lines > 0) as coupon_baskets_90d,
        coalesce(sum(coupon_value) filter (age < 30), 0) as coupon_value_30d,
        sum(coupon_value) as coupon_value_90d,
        count(distinct store_id) as stores_90d
    from baskets
    group by all
),
bought as (
    select snapshot, household_id, product_id, min(age) as age, count(*) as lines
    from lines
    group by all
),
assortment as (
    select b.snapshot, b.household_id,
        count(*) filter (b.age < 1) as products_1d,
        count(*) filter (b.age < 7) as products_7d,
        count(*) filter (b.age < 30) as products_30d,
        count(*) as products_90d,
        count(distinct p.department) filter (b.age < 30) as departments_30d,
        sum(b.lines) filter (p.brand = 'Private') / sum(b.lines) filter (p.brand is not null) as private_brand_share_90d
    from bought b
    left join products p using (product_id)
    group by all
),
exposure as (
    select d.day as snapshot, c.household_id,
        count(*) filter (c.end_date >= d.day) as campaigns_active,
        count(*) filter (c.end_date >= d.day and c.campaign_type = 'Type A') as campaigns_active_type_a,
        count(*) filter (c.day > d.day - 30) as campaigns_30d,
        count(*) as campaigns_90d,
        min(date_diff('day', c.day, d.day)) as days_since_campaign,
        min(date_diff('day', d.day, c.end_date)) filter (c.end_date >= d.day) as days_to_campaign_end
    from days d
    join campaign_exposures c on c.day <= d.day and c.day > d.day - 90
    group by all
),
redeemed as (
    select d.day as snapshot, r.household_id,
        count(*) filter (r.day > d.day - 30) as campaign_redemptions_30d,
        count(*) as campaign_redemptions_90d
    from days d
    join coupon_redemptions r on r.day <= d.day and r.day > d.day - 90
    group by all
)
select s.snapshot as day, s.* exclude (snapshot), a.* exclude (snapshot, household_id),
    s.spend_90d / s.baskets_90d as spend_per_basket_90d,
    s.coupon_baskets_90d / s.baskets_90d as coupon_basket_share_90d,
    s.spend_30d - (s.spend_90d - s.spend_30d) / 2 as spend_trend_30d,
    coalesce(e.campaigns_active, 0) as campaigns_active,
    coalesce(e.campaigns_active_type_a, 0) as campaigns_active_type_a,
    coalesce(e.campaigns_30d, 0) as campaigns_30d,
    coalesce(e.campaigns_90d, 0) as campaigns_90d,
    e.days_since_campaign,
    e.days_to_campaign_end,
    coalesce(r.campaign_redemptions_30d, 0) as campaign_redemptions_30d,
    coalesce(r.campaign_redemptions_90d, 0) as campaign_redemptions_90d,
    coalesce(g.age, 'unknown') as age,
    coalesce(g.income, 'unknown') as income,
    coalesce(g.household_comp, 'unknown') as household_comp
from shopping s
join assortment a using (snapshot, household_id)
left join exposure e using (snapshot, household_id)
left join redeemed r using (snapshot, household_id)
left join demographics g using (household_id)
