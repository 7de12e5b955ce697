//! `muster load-number`: capacity weights of types of resources.

use muster_proto::v1::{self, machine_command, machine_query, machine_reply};

use super::Session;
use super::resources::kind_name;
use crate::arguments::{KindName, LoadNumberCommand, LoadNumberSetArguments};
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn run(session: &Session, command: LoadNumberCommand) -> Result<(), Failure> {
    if let LoadNumberCommand::Set(arguments) = command {
        set(session, arguments).await?;
    }
    list(session).await
}

async fn set(session: &Session, arguments: LoadNumberSetArguments) -> Result<(), Failure> {
    let kind = match arguments.kind {
        KindName::Cpu => v1::ResourceKind::Cpu,
        KindName::Disk => v1::ResourceKind::Disk,
        KindName::Nic => v1::ResourceKind::Nic,
        KindName::Memory => v1::ResourceKind::Memory,
    };
    let number = v1::LoadNumber { kind: kind.into(), device_type: arguments.device_type, load: arguments.load };
    let command = machine_command::Kind::SetLoadNumber(v1::SetLoadNumber { number: Some(number) });
    session.client.machine_command("set a load number", command).await?;
    Ok(())
}

async fn list(session: &Session) -> Result<(), Failure> {
    let query = machine_query::Kind::LoadNumbers(v1::ListLoadNumbers {});
    let machine_reply::Kind::LoadNumbers(list) = session.client.machine_query("list load numbers", query).await? else {
        return Err(unexpected("machine-lifecycle"));
    };
    let mut table = Table::new(["kind", "device_type", "load"].into_iter().map(Column::new).collect());
    for number in list.numbers {
        let load = Cell::Integer(number.load.into());
        table.push(vec![Cell::text(kind_name(number.kind())), Cell::text(number.device_type), load]);
    }
    session.print(&table).await
}
