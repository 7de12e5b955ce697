//! Live progress on stderr: a bar on a terminal, plain lines otherwise.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Plain lines come at most this often.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// What takes longer than this is told of.
const SILENT_MAX: Duration = Duration::from_secs(1);

/// Waits for something of unknown size, and tells that it does once it takes long.
pub(crate) async fn while_waiting<T>(label: &str, waited_for: impl Future<Output = T>) -> T {
    tokio::pin!(waited_for);
    if let Ok(done) = tokio::time::timeout(SILENT_MAX, &mut waited_for).await {
        return done;
    }
    if !std::io::stderr().is_terminal() {
        eprintln!("{label}: it takes a while");
        return waited_for.await;
    }
    let spinner = ProgressBar::new_spinner().with_prefix(label.to_owned());
    spinner.set_style(
        ProgressStyle::with_template("{spinner} {prefix} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    spinner.enable_steady_tick(Duration::from_millis(200));
    let done = waited_for.await;
    spinner.finish_and_clear();
    done
}

/// Progress of something that has a known size.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    label: String,
    total: u64,
    said: Option<(Instant, String)>,
}

impl Progress {
    /// Begins; counts are shown as bytes where `bytes`.
    pub(crate) fn begin(label: &str, total: u64, bytes: bool) -> Self {
        let template = if bytes {
            "{prefix} [{bar:32}] {bytes}/{total_bytes} {msg}"
        } else {
            "{prefix} [{bar:32}] {pos}/{len} {elapsed} {msg}"
        };
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_prefix(label.to_owned())
        });
        Self { bar, label: label.to_owned(), total, said: None }
    }

    /// Shows how far it is.
    pub(crate) fn set(&mut self, done: u64, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(text.to_owned());
            }
            None => self.say(done, text),
        }
    }

    fn say(&mut self, done: u64, text: &str) {
        let line = format!("{}: {done}/{} {text}", self.label, self.total);
        let due = self.said.as_ref().is_none_or(|(when, said)| when.elapsed() >= LINE_INTERVAL && *said != line);
        if due {
            eprintln!("{}", line.trim_end());
            self.said = Some((Instant::now(), line));
        }
    }

    /// Takes the bar away, and says how it ended.
    pub(crate) fn end(self, text: &str) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}: {text}", self.label);
    }

    /// Takes the bar away without a word.
    pub(crate) fn clear(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
