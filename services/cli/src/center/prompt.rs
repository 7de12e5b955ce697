//! The prompt: the status line, and below it where one types.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use reedline::{Color, Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus};
use rustix::stdio::stdout;
use rustix::termios::tcgetwinsize;

/// Width of a terminal that does not tell its own.
const COLUMNS_DEFAULT: usize = 80;

/// The status line as it was told last; shared with whoever tells it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatusLine(Arc<Mutex<String>>);

impl StatusLine {
    /// Tells a new one; says whether it differs.
    pub(crate) fn tell(&self, line: String) -> bool {
        let mut shown = self.0.lock().expect("nobody panics with it");
        let differs = *shown != line;
        *shown = line;
        differs
    }

    fn cut(&self) -> String {
        let columns = tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        // One column less: a line that fills the terminal wraps on some.
        self.0.lock().expect("nobody panics with it").chars().take(columns.unwrap_or(COLUMNS_DEFAULT) - 1).collect()
    }
}

/// The prompt while one types: read again whenever it is painted.
pub(crate) struct CenterPrompt {
    pub(crate) status: StatusLine,
    /// The line was entered: the status is not left behind in what scrolls away.
    pub(crate) entered: bool,
}

impl Prompt for CenterPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        if self.entered { "".into() } else { format!("{}\n", self.status.cut()).into() }
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        "muster> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "      > ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let found = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing ",
        };
        format!("({found}found for `{}`) ", search.term).into()
    }

    fn get_prompt_color(&self) -> Color {
        Color::Default
    }
}
