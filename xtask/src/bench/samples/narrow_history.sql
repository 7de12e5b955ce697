SELECT date_trunc('hour', ts), metric, count(*), min(value), avg(value), max(value)
FROM narrow JOIN series ON series.id = narrow.series_id
WHERE job = 7 AND ts >= to_timestamp($1::bigint / 1e9) GROUP BY 1, 2
