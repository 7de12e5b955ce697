//! The line editor: history, completion, and keys.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};

use clap::CommandFactory;
use reedline::{
    ColumnarMenu, Completer, CompletionResult, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Reedline,
    ReedlineEvent, ReedlineMenu, Span, Suggestion, default_emacs_keybindings,
};

use super::complete::{Names, Proposal, complete};
use super::line;
use super::prompt::{CenterPrompt, StatusLine};
use crate::arguments::Cli;

/// Lines that the history keeps.
const HISTORY_MAX: usize = 5_000;
const MENU: &str = "completion";

/// An editor with the user's history. `ending` makes it return.
pub(crate) fn editor(names: Arc<RwLock<Names>>, status: StatusLine, ending: Arc<AtomicBool>) -> Reedline {
    let mut root = Cli::command();
    root.build();
    let mut keys = default_emacs_keybindings();
    let tab = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.into()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, tab);
    // What was typed ahead while a command ran comes with line feeds.
    keys.add_binding(KeyModifiers::CONTROL, KeyCode::Char('j'), ReedlineEvent::Enter);
    let menu = ColumnarMenu::default().with_name(MENU);
    let editor = Reedline::create()
        .with_completer(Box::new(Completion { root, names }))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_transient_prompt(Box::new(CenterPrompt { status, entered: true }))
        .with_break_signal(ending);
    match history() {
        Some(history) => editor.with_history(Box::new(history)),
        None => editor,
    }
}

/// The history in the user's state directory; none, with a word, where that can not be written.
fn history() -> Option<FileBackedHistory> {
    let path = history_path(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))?;
    match FileBackedHistory::with_file(HISTORY_MAX, path.clone()) {
        Ok(history) => Some(history),
        Err(error) => {
            eprintln!("muster: the history is not kept: {}: {error}", path.display());
            None
        }
    }
}

/// `$XDG_STATE_HOME/muster/history`, or `~/.local/state/muster/history`.
fn history_path(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let state = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| variable("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("muster/history"))
}

/// Completion as the editor asks for it.
struct Completion {
    root: clap::Command,
    names: Arc<RwLock<Names>>,
}

impl Completer for Completion {
    fn complete(&mut self, text: &str, position: usize) -> CompletionResult {
        let Some(typed) = text.get(..position) else { return CompletionResult::fresh(Vec::new()) };
        let (before, current) = line::typed(typed);
        let names = self.names.read().expect("nobody panics with them");
        let span = Span::new(position - current.len(), position);
        let suggestion = |proposal: Proposal| Suggestion {
            value: proposal.value,
            description: proposal.help,
            span,
            append_whitespace: proposal.whole,
            ..Suggestion::default()
        };
        let found = complete(&self.root, &before, &current, &names);
        CompletionResult::fresh(found.into_iter().map(suggestion).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_lies_in_the_state_directory() {
        let with = |pairs: &[(&str, &str)]| {
            let find = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, path)| PathBuf::from(path));
            history_path(find).map(|path| path.display().to_string())
        };
        assert_eq!(with(&[("HOME", "/home/anna")]).as_deref(), Some("/home/anna/.local/state/muster/history"));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]).as_deref(), Some("/s/muster/history"));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_STATE_HOME", "s")]).as_deref(), Some("/h/.local/state/muster/history"));
        assert_eq!(with(&[]), None);
    }
}
