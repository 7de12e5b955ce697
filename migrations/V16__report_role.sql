-- The report service reads everything and changes nothing, whatever it is asked. It can not log in before
-- `muster-telemetry-logger migrate --report-password FILE` gives it a password.
-- Roles belong to the whole server: one of that name may be there, and who may not make one goes on without.
DO $$
BEGIN
    CREATE ROLE muster_report NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN RAISE NOTICE 'the role muster_report is not made: a superuser may make it, see docs/security.md';
END $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'muster_report') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO muster_report', current_schema());
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO muster_report', current_schema());
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO muster_report', current_schema());
    END IF;
END $$;
