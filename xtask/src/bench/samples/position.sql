SELECT coalesce(max(last_seq), 0) FROM stream_offset WHERE stream = 'TEL'
