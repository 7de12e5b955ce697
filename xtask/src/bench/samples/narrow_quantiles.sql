SELECT machine_type, percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY value)
FROM narrow JOIN series ON series.id = narrow.series_id
WHERE metric = 'gauge_1' AND ts >= to_timestamp($1::bigint / 1e9) GROUP BY 1
