//! The pool: connections that are made when needed, checked, and never waited for without end.

use std::str::FromStr;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;

use crate::{Error, Result};

/// A connection is waited for, made and checked for so long each.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);
/// Data that nobody acknowledges end a connection after this.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);
/// A lock is waited for so long.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of the pool; given back when dropped.
pub type Client = deadpool_postgres::Object;

/// What the connections of a pool may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    Write,
    /// Only read.
    Read,
}

/// How a store is used.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Name of the process, as `pg_stat_activity` shows it.
    pub application: String,
    /// What connections may do.
    pub access: Access,
    /// Connections at most.
    pub connections_max: usize,
    /// A statement may take so long.
    pub statement_timeout: Duration,
}

/// A way to PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    place: String,
}

impl Store {
    /// Understands a URL, `postgres://user@host:port/database`, without connecting yet.
    ///
    /// # Errors
    /// [`Error::Broken`] when it is none.
    pub fn open(url: &str, options: &StoreOptions) -> Result<Self> {
        Self::open_with(url, None, options)
    }

    /// The same with a password that is not in the URL.
    pub(crate) fn open_with(url: &str, password: Option<&str>, options: &StoreOptions) -> Result<Self> {
        let what = "understand MUSTER_POSTGRES";
        let next = "it has the form postgres://user@host:port/database";
        let mut config = tokio_postgres::Config::from_str(url).map_err(|e| Error::broken(what, e, next))?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err(Error::broken(what, "host or database is missing", next));
        }
        if let Some(password) = password {
            config.password(password);
        }
        config
            .application_name(&options.application)
            .options(session_options(options))
            .connect_timeout(CONNECTION_TIMEOUT)
            .tcp_user_timeout(ACKNOWLEDGE_TIMEOUT);
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .runtime(Runtime::Tokio1)
            .max_size(options.connections_max)
            .wait_timeout(Some(CONNECTION_TIMEOUT))
            .create_timeout(Some(CONNECTION_TIMEOUT))
            .recycle_timeout(Some(CONNECTION_TIMEOUT))
            .build()
            .map_err(|error| Error::broken("make the pool of connections", error, "please report this"))?;
        Ok(Self { pool, place: place(url) })
    }

    /// A connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL is away or every connection is in use; [`Error::Broken`] when it turns us away.
    pub async fn client(&self) -> Result<Client> {
        let what = format!("reach PostgreSQL at {}", self.place);
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Error::doing(&what)(error),
            PoolError::Timeout(_) => Error::silent(&what, CONNECTION_TIMEOUT),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::broken(what, error, "please report this")
            }
        })
    }

    /// Connects once, so that a wrong address is known at the start.
    ///
    /// # Errors
    /// As [`Store::client`].
    pub async fn check(&self) -> Result<()> {
        self.client().await.map(drop)
    }

    /// Where it is: host, port and database, without the password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Takes back what is left of a connection that failed in the middle of something: it is closed, not used again.
    pub fn discard(client: Client) {
        drop(Client::take(client));
    }
}

fn session_options(options: &StoreOptions) -> String {
    let read_only = if options.access == Access::Read { " -c default_transaction_read_only=on" } else { "" };
    let (statement, lock) = (options.statement_timeout.as_millis(), LOCK_TIMEOUT.as_millis());
    format!("-c statement_timeout={statement} -c lock_timeout={lock} -c timezone=UTC -c jit=off{read_only}")
}

/// The URL without what may be secret in it.
fn place(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split('?').next().unwrap_or(rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> StoreOptions {
        StoreOptions {
            application: "test".into(),
            access: Access::Write,
            connections_max: 1,
            statement_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_place_has_no_password() {
        assert_eq!(place("postgres://muster:se@cret@db:5432/muster?sslmode=disable"), "db:5432/muster");
    }

    #[test]
    fn a_wrong_url_says_what_a_right_one_looks_like() {
        for wrong in ["nonsense", "postgres://", "mysql://a@b/c"] {
            let error = Store::open(wrong, &options()).expect_err("refused").to_string();
            assert!(error.contains("postgres://user@host:port/database"), "{wrong}: {error}");
        }
    }

    #[tokio::test]
    async fn an_absent_server_is_unavailable_and_named() {
        let store = Store::open("postgres://muster@127.0.0.1:1/muster", &options()).expect("a URL");
        let error = store.check().await.expect_err("nobody is there");
        assert!(error.is_unavailable() && error.to_string().contains("127.0.0.1:1/muster"), "{error}");
    }
}
