-- The change table that drt's cursor needs: for each user the last change of membership, numbered in order.
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS changes (user_id text PRIMARY KEY, value boolean NOT NULL, number bigint NOT NULL);
CREATE INDEX IF NOT EXISTS changes_number ON changes (number);
CREATE SEQUENCE IF NOT EXISTS numbers;
INSERT INTO changes
SELECT coalesce(members.user_id, told.user_id), members.user_id IS NOT NULL, nextval('numbers')
FROM (
  SELECT DISTINCT user_id FROM shop.events
  WHERE event = 'Order Completed' AND at > :'now'::timestamptz - interval '30 days' AND at <= :'now'::timestamptz
) AS members
FULL JOIN (SELECT user_id FROM changes WHERE value) AS told ON told.user_id = members.user_id
WHERE members.user_id IS NULL OR told.user_id IS NULL
ON CONFLICT (user_id) DO UPDATE SET value = excluded.value, number = excluded.number;
