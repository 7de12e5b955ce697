-- Every hello of an agent gives a new incarnation: what no stream can hold any more is forgotten.

ALTER TABLE agent_batch ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN agent_batch.updated_at IS 'When it last moved. Rows older than the streams keep messages (15 days) go with the machine''s next batch.';
