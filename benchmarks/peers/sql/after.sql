-- All of it was taken: from now on that is what was told.
BEGIN;
DELETE FROM told USING pending WHERE told.user_id = pending.user_id AND NOT pending.value;
INSERT INTO told SELECT user_id FROM pending WHERE value;
COMMIT;
