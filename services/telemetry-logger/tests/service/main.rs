//! The service with a real nats-server and PostgreSQL. One binary, so that tests which kill nothing share a PostgreSQL.

mod bounds;
mod compaction;
mod exactly_once;
mod killed;
mod logs;
mod lost_commit;
mod support;
