-- The anti-join by hand: who is in and was not told so, and who was told so and is no longer in.
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS told (user_id text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS pending (user_id text NOT NULL, value boolean NOT NULL);
BEGIN;
TRUNCATE pending;
INSERT INTO pending
SELECT coalesce(members.user_id, told.user_id), members.user_id IS NOT NULL
FROM (
  SELECT DISTINCT user_id FROM shop.events
  WHERE event = 'Order Completed' AND at > :'now'::timestamptz - interval '30 days' AND at <= :'now'::timestamptz
) AS members
FULL JOIN told ON told.user_id = members.user_id
WHERE members.user_id IS NULL OR told.user_id IS NULL;
COMMIT;
