//! What the operator of the servers asks them, in the account of the system: to read their configuration again.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::{Bus, BusError};

/// Where every server answers with its id.
const PING: &str = "$SYS.REQ.SERVER.PING";
/// Servers of a pool answer within this, all of them.
const SERVERS_ANSWER: Duration = Duration::from_millis(500);
/// More servers are no pool of Muster.
const SERVERS_MAX: usize = 64;

impl Bus {
    /// Makes every server of the pool read its configuration again, and gives their names. Members that are no longer in it are cut
    /// off by the server at once. The connection must be the operator's.
    ///
    /// # Errors
    /// When no server answers, or one refuses its configuration: it goes on with the one that it had.
    pub async fn reload_servers(&self) -> Result<Vec<String>, BusError> {
        let mut reloaded = Vec::new();
        for (id, name) in self.servers().await? {
            let what = || format!("make the server {name} read its configuration again");
            let asked = self.client().request(format!("$SYS.REQ.SERVER.{id}.RELOAD"), Bytes::new()).await;
            let answer = asked.map_err(|error| BusError::failed(what(), error))?;
            let answer: serde_json::Value =
                serde_json::from_slice(&answer.payload).map_err(|error| BusError::failed(what(), error))?;
            if let Some(error) = answer.get("error") {
                return Err(BusError::failed(what(), error));
            }
            reloaded.push(name);
        }
        Ok(reloaded)
    }

    /// Id and name of every server.
    async fn servers(&self) -> Result<Vec<(String, String)>, BusError> {
        let failed = |reason: String| BusError::failed("find the servers of the pool", reason);
        let inbox = self.new_inbox();
        let answers = self.client().subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        let asked = self.client().publish_with_reply(PING, inbox, Bytes::new()).await;
        asked.map_err(|error| failed(error.to_string()))?;
        let deadline = tokio::time::sleep(SERVERS_ANSWER);
        let answers: Vec<_> = answers.take(SERVERS_MAX).take_until(deadline).collect().await;
        let servers: Vec<_> = answers.iter().filter_map(|answer| server_of(&answer.payload)).collect();
        if servers.is_empty() {
            return Err(failed("none answers; are these the credentials of operator/servers?".into()));
        }
        Ok(servers)
    }
}

fn server_of(answer: &[u8]) -> Option<(String, String)> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let word = |name: &str| answer["server"][name].as_str().map(str::to_owned);
    Some((word("id")?, word("name")?))
}
