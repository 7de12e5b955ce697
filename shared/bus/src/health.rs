//! How the bus is: its server, its streams against the table, and the programs that answer over it.
//!
//! Responsible for looking. Not for what is good or bad about it: `muster doctor` judges.

use std::time::{Duration, Instant};

use async_nats::jetstream::account::Account;
use async_nats::jetstream::stream;
use futures::StreamExt;

use crate::streams::{InitOptions, LEASES, StreamRow, TABLE, stream_config};
use crate::{Bucket, Bus, BusError, subjects};

/// Round trips that are measured; the one in the middle counts.
const ROUND_TRIPS: usize = 5;

/// The server that this process is connected to.
#[derive(Debug, Clone)]
pub struct ServerHealth {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its cluster; none for a single server.
    pub cluster: Option<String>,
    /// The median time of a question to its JetStream.
    pub round_trip: Duration,
    /// Bytes in the files of JetStream.
    pub stored_bytes: u64,
    /// The most that it may store, bytes; none without a limit for this account.
    pub stored_max_bytes: Option<u64>,
}

/// A stream, and how it differs from the table.
#[derive(Debug, Clone, Default)]
pub struct StreamHealth {
    /// Its name.
    pub name: String,
    /// There is such a stream; nothing else is known without it.
    pub exists: bool,
    /// Its last sequence.
    pub last: u64,
    /// Bytes that it holds.
    pub size_bytes: u64,
    /// The most that it may hold, bytes; 0 for no limit.
    pub size_max_bytes: u64,
    /// Copies that it is to have.
    pub replicas: usize,
    /// Copies on servers that are away, or behind, with what is wrong with each.
    pub troubled_replicas: Vec<String>,
    /// Settings that are not those of the table: what it has, and what it is to have.
    pub differences: Vec<String>,
}

/// A program that answers on the micro API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServedProgram {
    /// Its name: `muster-scheduler`.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Bus {
    /// Looks at the server.
    ///
    /// # Errors
    /// When it has no JetStream for us, or none that answers.
    pub async fn server_health(&self) -> Result<ServerHealth, BusError> {
        let server = self.client().server_info();
        let (account, round_trip) = self.account().await?;
        Ok(ServerHealth {
            name: server.server_name,
            version: server.version,
            cluster: server.cluster,
            round_trip,
            stored_bytes: account.storage,
            stored_max_bytes: account.limits.max_storage.and_then(|most| u64::try_from(most).ok()),
        })
    }

    /// What JetStream says of our account, and the median time of its answers: everybody may ask that.
    async fn account(&self) -> Result<(Account, Duration), BusError> {
        let mut answers = Vec::new();
        for _ in 0..ROUND_TRIPS {
            let begun = Instant::now();
            let asked = self.jetstream().query_account().await;
            let account = asked.map_err(|error| BusError::failed("ask JetStream for its account", error))?;
            answers.push((begun.elapsed(), account));
        }
        answers.sort_by_key(|(took, _)| *took);
        let (took, account) = answers.swap_remove(ROUND_TRIPS / 2);
        Ok((account, took))
    }

    /// Looks at every stream, object store and bucket that a system has.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn stream_health(&self) -> Result<Vec<StreamHealth>, BusError> {
        let mut found = Vec::new();
        for row in TABLE {
            found.push(self.look(row.name, Some(row)).await?);
        }
        for bucket in Bucket::ALL {
            found.push(self.look(&format!("OBJ_{}", bucket.as_str()), None).await?);
        }
        found.push(self.look(&format!("KV_{LEASES}"), None).await?);
        Ok(found)
    }

    async fn look(&self, name: &str, row: Option<&StreamRow>) -> Result<StreamHealth, BusError> {
        let mut health = StreamHealth { name: name.to_owned(), ..StreamHealth::default() };
        let Some(info) = self.stream_info(name).await? else { return Ok(health) };
        health.exists = true;
        (health.last, health.size_bytes) = (info.state.last_sequence, info.state.bytes);
        health.size_max_bytes = u64::try_from(info.config.max_bytes).unwrap_or(0);
        health.replicas = info.config.num_replicas;
        health.differences = row.map(|row| differences(&info.config, row)).unwrap_or_default();
        let peers = info.cluster.as_ref().map(|cluster| cluster.replicas.as_slice()).unwrap_or_default();
        let troubled = peers.iter().filter(|peer| peer.offline || !peer.current);
        health.troubled_replicas = troubled.map(trouble_of).collect();
        if info.cluster.is_some_and(|cluster| cluster.replicas.len() + 1 < info.config.num_replicas) {
            health.troubled_replicas.push("a copy is on no server".into());
        }
        Ok(health)
    }

    /// Programs that answer on the micro API within `wait`, sorted: owning services by their leader alone.
    ///
    /// # Errors
    /// When the connection is gone for good.
    pub async fn served_programs(&self, wait: Duration) -> Result<Vec<ServedProgram>, BusError> {
        let failed = |error: String| BusError::failed("ask who answers", error);
        let inbox = self.new_inbox();
        let mut heard = self.client().subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        let asked = self.client().publish_with_reply(subjects::EVERY_PROGRAM, inbox, "".into()).await;
        asked.map_err(|error| failed(error.to_string()))?;
        let end = tokio::time::Instant::now() + wait;
        let mut found = Vec::new();
        while let Ok(Some(message)) = tokio::time::timeout_at(end, heard.next()).await {
            let Ok(said) = serde_json::from_slice::<serde_json::Value>(&message.payload) else { continue };
            let word = |name: &str| said[name].as_str().map(str::to_owned);
            found.extend(word("name").zip(word("version")).map(|(name, version)| ServedProgram { name, version }));
        }
        found.sort();
        Ok(found)
    }
}

fn trouble_of(peer: &stream::PeerInfo) -> String {
    let how = if peer.offline { "is away" } else { "is behind" };
    format!("{} {how}, heard {:.1} s ago", peer.name, peer.active.as_secs_f64())
}

/// Settings of a stream that are not those of its row. Sizes are divided where a server has less room, and are not compared.
fn differences(config: &stream::Config, row: &StreamRow) -> Vec<String> {
    let wanted = stream_config(row, InitOptions { replicas: config.num_replicas, size_divisor: 1 });
    let pairs = [
        ("subjects", format!("{:?}", config.subjects), format!("{:?}", wanted.subjects)),
        ("max_age", format!("{:?}", config.max_age), format!("{:?}", wanted.max_age)),
        ("discard", format!("{:?}", config.discard), format!("{:?}", wanted.discard)),
        ("storage", format!("{:?}", config.storage), format!("{:?}", wanted.storage)),
        ("deny_delete", config.deny_delete.to_string(), wanted.deny_delete.to_string()),
        ("allow_direct", config.allow_direct.to_string(), wanted.allow_direct.to_string()),
    ];
    let differing = pairs.into_iter().filter(|(_, has, wanted)| has != wanted);
    let mut found: Vec<String> =
        differing.map(|(name, has, wanted)| format!("{name} is {has}, not {wanted}")).collect();
    if config.max_message_size != wanted.max_message_size {
        found.push(format!("max_msg_size is {}, not {}", config.max_message_size, wanted.max_message_size));
    }
    if config.max_bytes <= 0 {
        found.push("max_bytes has no limit: a full disk would stop the server, not this stream alone".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_as_it_was_made_differs_in_nothing_whatever_its_size() {
        let row = &TABLE[0];
        for size_divisor in [1, 64] {
            let made = stream_config(row, InitOptions { replicas: 3, size_divisor });
            assert!(differences(&made, row).is_empty(), "{:?}", differences(&made, row));
        }
    }

    #[test]
    fn a_stream_that_throws_away_what_is_old_is_named() {
        let row = &TABLE[0];
        let mut made = stream_config(row, InitOptions { replicas: 1, size_divisor: 1 });
        (made.discard, made.max_bytes) = (stream::DiscardPolicy::Old, -1);
        let found = differences(&made, row);
        assert!(
            matches!(&found[..], [discard, bytes] if discard.contains("Old") && bytes.contains("max_bytes")),
            "{found:?}"
        );
    }
}
