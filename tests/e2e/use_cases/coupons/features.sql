select d.day, t.household_id,
    min(d.day - t.day) as days_since_basket,
    count(distinct basket_id) filter (t.day > d.day - 3) as baskets_3d,
    count(distinct basket_id) as baskets_14d,
    coalesce(sum(sales_value) filter (t.day > d.day - 3), 0) as spend_3d,
    sum(sales_value) as spend_14d,
    coalesce(sum(retail_disc) filter (t.day > d.day - 3), 0) as discount_3d,
    count(distinct product_id) filter (t.day > d.day - 3) as products_3d,
    count(*) filter (coupon_disc > 0) as coupon_lines_14d
from days d
join transactions t on t.day <= d.day and t.day > d.day - 14
group by all
