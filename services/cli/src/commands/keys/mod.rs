//! `muster admin init --keys`, `enroll`, `user`, `identities`, `revoke`, `rotate` and `retire`: who may connect to the pool.
//!
//! They work on files here, and make the servers read them; the services have no part in it.

mod enroll;
mod servers;

use std::path::Path;

use muster_bus::permissions::Member;
use muster_bus::subjects::Service;
use muster_bus::{Identity, Role, UserName};
use muster_model::PoolTime;

use self::servers::Servers;
use crate::arguments::{
    AdminCommand, Global, IdentityArguments, KeysArguments, RetireArguments, UserAddArguments, UserCommand,
};
use crate::exit::Failure;
use crate::keys::Directory;
use crate::output::{self, Cell, Column, Layout, Table};
use crate::times::Viewer;

/// Runs a command that is about keys; none for any other.
///
/// # Errors
/// Refused, or a file can not be written, or a server not reached.
pub(crate) async fn performed(global: &Global, command: &AdminCommand) -> Option<Result<(), Failure>> {
    Some(match command {
        AdminCommand::Init(arguments) => {
            let keys = arguments.keys.as_ref()?;
            init(global, keys, arguments.administrator.clone())
        }
        AdminCommand::Enroll(arguments) => enroll::run(global, arguments).await,
        AdminCommand::User(UserCommand::Add(arguments)) => add_user(global, arguments).await,
        AdminCommand::Identities(arguments) => identities(global, arguments),
        AdminCommand::Revoke(arguments) => revoke(global, arguments).await,
        AdminCommand::Rotate(arguments) => rotate(global, arguments).await,
        AdminCommand::Retire(arguments) => retire(global, arguments),
        AdminCommand::Recover(_)
        | AdminCommand::Backup(_)
        | AdminCommand::Restore(_)
        | AdminCommand::Status
        | AdminCommand::Telemetry(_)
        | AdminCommand::Audit(_) => return None,
    })
}

/// Makes the keys of a new pool: of the operator, of every service and of one administrator.
fn init(global: &Global, keys: &Path, administrator: Option<UserName>) -> Result<(), Failure> {
    let name = match administrator {
        Some(name) => name,
        None => UserName::new(&global.user()?)
            .map_err(|why| Failure::Usage(format!("{why}; give one with --administrator")))?,
    };
    let mut directory = Directory::make(keys)?;
    let services = Service::ALL.map(Identity::Service);
    let members = services.into_iter().chain([Identity::Operator]).map(|identity| (identity, Role::Viewer));
    for (identity, role) in members.chain([(Identity::User(name), Role::Administrator)]) {
        directory.add_made(Member { identity, role })?;
    }
    directory.save()?;
    eprintln!(
        "muster: include {} in the configuration of every NATS server of the pool, and start or reload them; give each service its file, those with a .sign file that too, and yourself `export MUSTER_CREDENTIALS=FILE`; machines know their services by {}, which `muster admin enroll` puts into tokens",
        directory.authorization().display(),
        directory.signers_file().display()
    );
    print(global, &table(&directory))
}

async fn add_user(global: &Global, arguments: &UserAddArguments) -> Result<(), Failure> {
    let identity = Identity::User(arguments.name.clone());
    let servers = Servers::reach(global, &arguments.change).await?;
    let mut directory = Directory::open(&arguments.change.at.keys)?;
    let member = Member { identity: identity.clone(), role: arguments.role };
    let file = match &arguments.public_key {
        Some(key) => {
            directory.add(member, key.clone(), None)?;
            Cell::None
        }
        None => Cell::text(directory.add_made(member)?.display().to_string()),
    };
    directory.save()?;
    done(global, &identity, file, &servers.reload().await?)
}

async fn revoke(global: &Global, arguments: &IdentityArguments) -> Result<(), Failure> {
    let identity = &arguments.identity;
    let servers = Servers::reach(global, &arguments.change).await?;
    let mut directory = Directory::open(&arguments.change.at.keys)?;
    directory.remove(identity)?;
    directory.save()?;
    let reloaded = servers.reload().await?;
    directory.delete_credentials(identity);
    done(global, identity, Cell::None, &reloaded)
}

async fn rotate(global: &Global, arguments: &IdentityArguments) -> Result<(), Failure> {
    let identity = &arguments.identity;
    let servers = Servers::reach(global, &arguments.change).await?;
    let mut directory = Directory::open(&arguments.change.at.keys)?;
    let file = directory.rotate(identity)?;
    directory.save()?;
    let reloaded = if *identity == Identity::Operator {
        servers.reload_with_another_key(global, &file).await?
    } else {
        servers.reload().await?
    };
    done(global, identity, Cell::text(file.display().to_string()), &reloaded)
}

fn retire(global: &Global, arguments: &RetireArguments) -> Result<(), Failure> {
    let mut directory = Directory::open(&arguments.at.keys)?;
    let retired = directory.retire(&arguments.identity)?;
    directory.save()?;
    eprintln!(
        "muster: written; agents hear it from the service once its instances have the file, each with the next message that it is told"
    );
    let identity = Cell::text(arguments.identity.to_string());
    print(global, &Table::record(vec![("identity", identity), ("retired", Cell::Integer(retired as u64))]))
}

fn identities(global: &Global, arguments: &KeysArguments) -> Result<(), Failure> {
    print(global, &table(&Directory::open(&arguments.keys)?))
}

fn table(directory: &Directory) -> Table {
    let names = ["identity", "role", "since", "until", "credentials", "key"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    for entry in directory.register().entries() {
        let identity = &entry.member.identity;
        let is_person = matches!(identity, Identity::User(_));
        let file = directory.credentials(identity);
        let shown = |given: bool, text: String| if given { Cell::text(text) } else { Cell::None };
        table.push(vec![
            Cell::text(identity.to_string()),
            shown(is_person, entry.member.role.as_str().into()),
            Cell::text(entry.since.to_string()),
            entry.until.map_or(Cell::None, |until| Cell::text(until.to_string())),
            shown(file.exists(), file.display().to_string()),
            Cell::text(&entry.key),
        ]);
    }
    table
}

/// What a change came to.
fn done(global: &Global, identity: &Identity, file: Cell, reloaded: &[String]) -> Result<(), Failure> {
    let servers = Cell::List(reloaded.to_vec());
    print(
        global,
        &Table::record(vec![
            ("identity", Cell::text(identity.to_string())),
            ("credentials", file),
            ("servers", servers),
        ]),
    )
}

fn print(global: &Global, table: &Table) -> Result<(), Failure> {
    let layout = Layout { format: global.output, viewer: Viewer::here(PoolTime::NEVER) };
    output::write(&layout.render(table)?)
}
