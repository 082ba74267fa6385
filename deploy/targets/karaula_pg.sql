-- What karaula-pg needs in a PostgreSQL cluster: once, on the primary, as a superuser; it reaches the standby by itself.
--
--   sudo -u postgres psql -d DATABASE -v ON_ERROR_STOP=1 -f karaula_pg.sql
--
-- Nobody here is a superuser. How the three log in is pg_hba.conf's affair: see docs/targets.md.
-- From PostgreSQL 15 on, pg_checkpoint lets a standby follow right after a promotion; before, it waits for the next checkpoint.

CREATE ROLE karaula LOGIN;                     -- by the local socket only: status, markers, promotion
CREATE ROLE karaula_replica LOGIN REPLICATION; -- from the other site: receives
CREATE ROLE karaula_rewind LOGIN;              -- from the other site: what pg_rewind reads

GRANT pg_monitor TO karaula, karaula_rewind;
GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO karaula;
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO karaula_rewind;
GRANT EXECUTE ON FUNCTION pg_stat_file(text, boolean) TO karaula_rewind;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO karaula_rewind;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO karaula_rewind;
DO $$ BEGIN
  IF current_setting('server_version_num')::int >= 150000 THEN GRANT pg_checkpoint TO karaula; END IF;
END $$;

CREATE SCHEMA karaula AUTHORIZATION karaula;
SET ROLE karaula;
CREATE TABLE karaula.epoch ( -- every promotion: its fencing token, and the newest record that was there then
  token bigint PRIMARY KEY,
  site text NOT NULL,
  record bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE karaula.marker ( -- a heartbeat: what of it is at the other site tells how far that one is behind
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO karaula.epoch (token, site, record) VALUES (1, 'setup', 0);
RESET ROLE;
GRANT USAGE ON SCHEMA karaula TO karaula_rewind;
GRANT SELECT ON karaula.epoch TO karaula_rewind;
