//! What happened when, for who looks at a violation.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A violation is shown with what happened so long before and after it.
const AROUND: Duration = Duration::from_secs(15);
/// And with so many lines of that at most.
const LINES_MAX: usize = 60;

/// Everything that was done and answered, in order of time.
#[derive(Debug)]
pub struct History {
    begun: Instant,
    lines: Mutex<Vec<(Duration, String)>>,
}

impl History {
    /// An empty one, that begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { begun: Instant::now(), lines: Mutex::new(Vec::new()) }
    }

    /// Time since its beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Remembers something as of now.
    pub fn note(&self, line: String) {
        let now = self.now();
        self.lines.lock().expect("nobody panics with it").push((now, line));
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Vec<(Duration, String)> {
        self.lines.lock().expect("nobody panics with it").clone()
    }
}

/// The lines around a moment, or the last ones where there is none.
#[must_use]
pub fn around(lines: &[(Duration, String)], at: Option<Duration>) -> Vec<String> {
    let near = |moment: &Duration| at.is_none_or(|at| *moment + AROUND >= at && *moment <= at + AROUND);
    let found: Vec<String> =
        lines.iter().filter(|(moment, _)| near(moment)).map(|(moment, line)| told(*moment, line)).collect();
    let excess = found.len().saturating_sub(LINES_MAX);
    // Where a moment is known, what is around it is in the middle.
    let from = if at.is_some() { excess / 2 } else { excess };
    found.into_iter().skip(from).take(LINES_MAX).collect()
}

fn told(moment: Duration, line: &str) -> String {
    format!("{:>8.2} s  {line}", moment.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_with_what_was_near_it() {
        let lines: Vec<_> = (0..100).map(|second| (Duration::from_secs(second), format!("line {second}"))).collect();
        let near = around(&lines, Some(Duration::from_secs(50)));
        assert!(near.first().expect("some").ends_with("line 35") && near.last().expect("some").ends_with("line 65"));
        let last = around(&lines, None);
        assert!(last.len() == LINES_MAX && last.last().expect("some").ends_with("line 99"));
    }
}
