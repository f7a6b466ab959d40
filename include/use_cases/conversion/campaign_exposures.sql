-- A household learns of a campaign on the day that it starts.
select c.household_id, c.campaign_id, d.campaign_type, d.start_date, d.end_date
from campaigns c
join descriptions d using (campaign_id)
