//! What the administrator configured: who is told and how, who may revoke, and what holds where a request does not say.
//!
//! It enters requests before they are decided, so that the log has what held then, and another configuration changes nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_drivers::notice::{MailServer, Mailer, Ways};
use muster_model::{NotifyTarget, Refusal, RefusalCode, quantity};

use crate::core::{Command, Reserve};

/// Where machines are logged in to, unless the administrator says otherwise.
const LOG_IN: &str = "ssh {machine}";

/// Arguments of this service alone.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigArguments {
    /// Where users are told who do not say: `none`, `mail:{user}@example.com`, a URL, `command:NAME`; `{user}` is who it is
    #[arg(long, value_name = "TARGET", env = "MUSTER_NOTIFY_DEFAULT", default_value = "none")]
    notify_default: String,
    /// Where the administrator is told of every reservation
    #[arg(long, value_name = "TARGET", env = "MUSTER_NOTIFY_ADMIN", default_value = "none")]
    notify_admin: String,
    /// A command that may be named as `command:NAME`: a program and its arguments, without a shell; repeatable
    #[arg(long, value_name = "NAME=PROGRAM ARGUMENT..")]
    notify_command: Vec<String>,
    /// Mail server: `smtp://HOST:25`, `smtp://HOST:587?tls=required`, `smtps://HOST`; no e-mail without it
    #[arg(long, value_name = "URL", env = "MUSTER_SMTP", requires = "mail_from")]
    smtp: Option<String>,
    /// User of the mail server
    #[arg(long, value_name = "USER", env = "MUSTER_SMTP_USER")]
    smtp_user: Option<String>,
    /// File with the password of the mail server
    #[arg(long, value_name = "FILE", env = "MUSTER_SMTP_PASSWORD_FILE")]
    smtp_password_file: Option<PathBuf>,
    /// File with the certificates that the mail server is believed by; the system's without it
    #[arg(long, value_name = "FILE", env = "MUSTER_SMTP_CA_FILE")]
    smtp_ca_file: Option<PathBuf>,
    /// Address that mail comes from
    #[arg(long, value_name = "ADDRESS", env = "MUSTER_MAIL_FROM")]
    mail_from: Option<String>,
    /// How people log in to a machine, as notices say it; `{machine}` is its name
    #[arg(long, value_name = "TEXT", env = "MUSTER_LOG_IN", default_value = LOG_IN)]
    log_in: String,
    /// A reservation ends so long after its user was told, if nobody shows up and the request does not say: `30m`
    #[arg(long, value_name = "DURATION", env = "MUSTER_NO_SHOW", value_parser = duration)]
    no_show: Option<Duration>,
    /// Who may revoke what others have; repeatable
    #[arg(long, value_name = "USER", env = "MUSTER_ADMINISTRATORS", value_delimiter = ',')]
    administrator: Vec<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    quantity::parse_duration(text).map_err(|error| error.reason)
}

/// What the administrator configured.
#[derive(Debug)]
pub struct Config {
    notify_default: String,
    notify_administrator: NotifyTarget,
    /// How people log in to a machine.
    pub(crate) log_in: String,
    /// The ways by which people are told.
    pub(crate) ways: Ways,
    no_show: Option<Duration>,
    administrators: BTreeSet<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            notify_default: "none".into(),
            notify_administrator: NotifyTarget::None,
            log_in: LOG_IN.into(),
            ways: Ways::default(),
            no_show: None,
            administrators: BTreeSet::new(),
        }
    }
}

impl ConfigArguments {
    /// What they say.
    ///
    /// # Errors
    /// Says which argument is wrong: a service that could not tell anybody does not start.
    pub fn read(self) -> anyhow::Result<Config> {
        let ways = Ways { mailer: self.mailer()?, commands: commands(&self.notify_command)? };
        let config = Config {
            notify_administrator: NotifyTarget::parse(&self.notify_admin).context("read --notify-admin")?,
            notify_default: self.notify_default,
            log_in: self.log_in,
            ways,
            no_show: self.no_show,
            administrators: self.administrator.iter().map(|name| format!("user:{name}")).collect(),
        };
        let default = config.default_of("user:anna").context("read --notify-default")?;
        for (argument, target) in [("notify-default", &default), ("notify-admin", &config.notify_administrator)] {
            config.ways.check(target).map_err(|why| anyhow::anyhow!("use --{argument}: {why}"))?;
        }
        Ok(config)
    }

    fn mailer(&self) -> anyhow::Result<Option<Mailer>> {
        let (Some(url), Some(from)) = (&self.smtp, &self.mail_from) else { return Ok(None) };
        let server = MailServer {
            url: url.clone(),
            user: self.smtp_user.clone(),
            password_file: self.smtp_password_file.clone(),
            ca_file: self.smtp_ca_file.clone(),
            from: from.clone(),
        };
        Ok(Some(Mailer::new(server)?))
    }
}

fn commands(given: &[String]) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut commands = BTreeMap::new();
    for text in given {
        let (name, line) = text.split_once('=').with_context(|| format!("read `{text}`: it is not NAME=PROGRAM"))?;
        let words = shlex::split(line).filter(|words| !words.is_empty());
        let words = words.with_context(|| format!("read the command of `{name}`: its quotes do not match"))?;
        NotifyTarget::parse(&format!("command:{name}"))?;
        ensure!(commands.insert(name.to_owned(), words).is_none(), "the command `{name}` is given twice");
    }
    Ok(commands)
}

impl Config {
    /// Completes a command by what is configured, before it is decided.
    ///
    /// # Errors
    /// Refuses a target that nobody can be told by, and a revocation by somebody who is no administrator.
    pub(crate) fn complete(&self, user: &str, command: &mut Command) -> Result<(), Refusal> {
        match command {
            Command::Reserve(reserve) => self.complete_reserve(user, reserve),
            Command::Revoke { id, .. } if !self.administrators.contains(user) => {
                let why = format!("you are {user}, and no administrator");
                let next = "ask its user, or an administrator (argument --administrator of muster-reservation)";
                Err(Refusal::new(RefusalCode::Refused, format!("revoke reservation {id}"), why, next))
            }
            // Of clients nobody is told but their master.
            Command::OnBehalf { .. }
            | Command::Dismiss { .. }
            | Command::Revoke { .. }
            | Command::Extend { .. }
            | Command::SetQuota { .. }
            | Command::CheckIn { .. }
            | Command::Accept { .. } => Ok(()),
        }
    }

    fn complete_reserve(&self, user: &str, reserve: &mut Reserve) -> Result<(), Refusal> {
        match &reserve.notify {
            Some(target) => {
                let refuse =
                    |why| Refusal::new(RefusalCode::Refused, "reserve machines", why, "choose another --notify");
                self.ways.check(target).map_err(refuse)?;
            }
            // Who has a name that makes no target is not told, and looks for themselves.
            None => reserve.notify = self.default_of(user).ok(),
        }
        reserve.notify_administrator = self.notify_administrator.clone();
        if reserve.rollout.is_none() {
            reserve.no_show = reserve.no_show.or(self.no_show);
        }
        Ok(())
    }

    fn default_of(&self, user: &str) -> Result<NotifyTarget, muster_model::NotifyError> {
        let name = user.strip_prefix("user:").unwrap_or(user);
        NotifyTarget::parse(&self.notify_default.replace("{user}", name))
    }
}

#[cfg(test)]
mod tests {
    use muster_model::ReservationId;

    use super::*;

    fn arguments() -> ConfigArguments {
        ConfigArguments {
            notify_default: "none".into(),
            notify_admin: "none".into(),
            log_in: LOG_IN.into(),
            ..ConfigArguments::default()
        }
    }

    #[test]
    fn what_a_request_does_not_say_is_what_is_configured() {
        let given = ConfigArguments {
            notify_default: "command:{user}".into(),
            notify_command: vec!["anna=/bin/tell 'to anna'".into()],
            no_show: Some(Duration::from_secs(60)),
            ..arguments()
        };
        let config = given.read().expect("it is read");
        assert_eq!(config.ways.commands["anna"], ["/bin/tell", "to anna"]);
        let mut command = Command::Reserve(Reserve::default());
        config.complete("user:anna", &mut command).expect("it is taken");
        let Command::Reserve(reserve) = &command else { panic!("{command:?}") };
        assert_eq!(reserve.notify, Some(NotifyTarget::Command("anna".into())));
        assert_eq!(reserve.no_show, Some(Duration::from_secs(60)));
        let said = Reserve { notify: Some(NotifyTarget::None), no_show: Some(Duration::ZERO), ..Reserve::default() };
        let mut command = Command::Reserve(said.clone());
        config.complete("user:anna", &mut command).expect("it is taken");
        assert!(
            matches!(&command, Command::Reserve(kept) if kept.notify == said.notify && kept.no_show == said.no_show)
        );
    }

    #[test]
    fn nobody_runs_a_command_that_is_not_configured_nor_revokes_without_leave() {
        let config = ConfigArguments { administrator: vec!["root".into()], ..arguments() }.read().expect("it is read");
        let target = NotifyTarget::Command("x".into());
        let mut command = Command::Reserve(Reserve { notify: Some(target), ..Reserve::default() });
        let refusal = config.complete("user:anna", &mut command).expect_err("there is none");
        assert!(refusal.why.contains("no command `x`"), "{refusal}");
        let target = NotifyTarget::Mail("a@b".into());
        let mut command = Command::Reserve(Reserve { notify: Some(target), ..Reserve::default() });
        assert!(config.complete("user:anna", &mut command).expect_err("no mail").why.contains("no mail server"));
        let mut revoke = Command::Revoke { id: ReservationId(1), reason: "because".into() };
        assert!(config.complete("user:anna", &mut revoke).is_err());
        assert!(config.complete("user:root", &mut revoke).is_ok());
    }

    #[test]
    fn a_service_that_could_tell_nobody_does_not_start() {
        for (given, why) in [
            (ConfigArguments { notify_default: "mail:{user}@example.com".into(), ..arguments() }, "no mail server"),
            (ConfigArguments { notify_admin: "nobody".into(), ..arguments() }, "--notify-admin"),
            (ConfigArguments { notify_command: vec!["x".into()], ..arguments() }, "NAME=PROGRAM"),
        ] {
            let error = format!("{:#}", given.read().expect_err(why));
            assert!(error.contains(why), "{error}");
        }
    }
}
