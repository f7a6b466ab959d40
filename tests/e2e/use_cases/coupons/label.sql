select d.day, t.household_id, 1 as redeems
from days d
join transactions t on t.day > d.day and t.day <= d.day + 5
where t.coupon_disc > 0
group by d.day, t.household_id
