-- The visitors who buy in the 15 days after the snapshot's day; all others have the label 0.
select d.day, e.visitor_id, 1 as buys_within_15d
from days d
join simulated_events e on e.day > d.day and e.day <= d.day + 15
where e.event = 'transaction'
group by d.day, e.visitor_id
