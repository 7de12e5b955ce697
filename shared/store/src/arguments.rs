//! Arguments of every service that uses the store.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result, Store, StoreOptions};

/// Where PostgreSQL is; flatten it into the service's own arguments.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreArguments {
    /// PostgreSQL, `postgres://user@host:port/database`
    #[arg(
        long,
        env = "MUSTER_POSTGRES",
        default_value = "postgres://muster@127.0.0.1:5432/muster",
        global = true,
        hide_env_values = true
    )]
    pub postgres: String,
    /// File with the password for PostgreSQL, which others than its owner and group may not read
    #[arg(long, env = "MUSTER_POSTGRES_PASSWORD_FILE", value_name = "FILE", global = true)]
    pub postgres_password: Option<PathBuf>,
}

impl StoreArguments {
    /// The store that they name, without connecting yet.
    ///
    /// # Errors
    /// [`Error::Broken`] when the URL is none, or the file of the password can not be used.
    pub fn open(&self, options: &StoreOptions) -> Result<Store> {
        let password = self.postgres_password.as_deref().map(read_password).transpose()?;
        Store::open_with(&self.postgres, password.as_deref(), options)
    }
}

/// The password that a file holds: its text without the line's end.
///
/// # Errors
/// [`Error::Broken`] when it can not be read, is empty, or others than its owner and group may use it.
pub fn read_password(file: &Path) -> Result<String> {
    let what = format!("use the password in {}", file.display());
    let wrong =
        |why: String| Error::broken(&what, why, "MUSTER_POSTGRES_PASSWORD_FILE names a file with mode 600, or 640");
    let metadata = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(wrong("others than its owner and group may use it".into()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(wrong("it is empty".into()));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).expect("changed");
        file
    }

    #[test]
    fn a_password_is_the_text_of_its_file_without_the_end_of_the_line() {
        let read = |text, mode| read_password(file_with(text, mode).path());
        assert_eq!(read("top secret \n", 0o640).expect("read"), "top secret ");
        for (text, mode) in [("secret\n", 0o644), ("\n", 0o600)] {
            let error = read(text, mode).expect_err("refused").to_string();
            assert!(error.contains("MUSTER_POSTGRES_PASSWORD_FILE") && !error.contains("secret"), "{error}");
        }
        assert!(read_password(Path::new("/nonexistent/password")).is_err());
    }
}
