-- Corruptions have numbers that people can type.

ALTER TABLE corruption_report ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX corruption_report_by_id ON corruption_report (id);
COMMENT ON COLUMN corruption_report.id IS 'Number in this store, in the order of storing; reports and the command line name a corruption by it.';
