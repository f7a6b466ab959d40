-- The households that redeem a coupon in the 15 days after the snapshot's day; all others have the label 0.
select d.day, t.household_id, 1 as redeems_within_15d
from days d
join transactions t on t.day > d.day and t.day <= d.day + 15
where t.coupon_disc > 0
group by d.day, t.household_id
