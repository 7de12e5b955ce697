SELECT (extract(epoch FROM to_timestamp(substr(part.relname::text, 8), 'YYYYMMDD_HH24')) / 3600)::bigint
FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid WHERE inhparent = 'sample'::regclass ORDER BY 1
