-- How many households buy the product in the 7 days after the snapshot's day; nobody is 0.
select d.day, t.product_id, count(distinct t.household_id) as households_next_7d
from days d
join transactions t on t.day > d.day and t.day <= d.day + 7
where t.quantity between 1 and 49
group by d.day, t.product_id
