SELECT machine_type, count(*), min(value), avg(value), max(value)
FROM narrow JOIN series ON series.id = narrow.series_id
WHERE metric = 'gauge_1' AND ts >= to_timestamp($1::bigint / 1e9) GROUP BY 1
