-- The table `pending` as Singer's messages, a line each.
SELECT '{"type":"SCHEMA","stream":"changes","key_properties":["user_id"],"schema":{"properties":'
  '{"user_id":{"type":"string"},"value":{"type":"boolean"}}}}';
COPY (
  SELECT '{"type":"RECORD","stream":"changes","record":{"user_id":' || to_json(user_id) || ',"value":' || value || '}}' FROM pending
) TO STDOUT;
