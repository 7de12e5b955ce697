//! docs/drivers.md against the code: every driver with its keys and what it can do, and examples that are read.

use muster_model::power::{Key, PowerDriverKind, SnapshotDriverKind, SpecError};
use muster_model::{PowerSpec, SnapshotSpec};

/// A driver's part of the page.
struct Part<'a> {
    text: &'a str,
}

impl<'a> Part<'a> {
    fn of(chapter: &'a str, driver: &str) -> Self {
        let heading = format!("\n### `{driver}`\n");
        let (_, after) = chapter.split_once(&heading).unwrap_or_else(|| panic!("the page has no heading{heading}"));
        Self { text: after.split("\n### ").next().unwrap_or(after) }
    }

    fn rows(&self) -> Vec<&'a str> {
        self.text.lines().filter(|line| line.starts_with("| `")).collect()
    }

    /// What it says that the example can do.
    fn can(&self) -> &'a str {
        let line = self.text.lines().find_map(|line| line.strip_prefix("Can: "));
        line.and_then(|line| line.split_once('.')).map(|(can, _)| can).expect("it says what the driver can do")
    }

    fn example(&self) -> &'a str {
        self.text.split("```").nth(1).expect("it has an example").trim().trim_start_matches("text").trim()
    }
}

fn row(key: &Key) -> String {
    format!("| `{}` | {} | {} |", key.name, if key.is_required { "yes" } else { "" }, key.says)
}

/// What the code says of one driver: its word, its keys, and of an example how it is printed and what it can do.
struct Said {
    word: &'static str,
    keys: &'static [Key],
    read: fn(&str) -> Read,
}

/// How an example is printed, and what it can do.
type Read = Result<(String, Vec<String>), SpecError>;

fn power(kind: PowerDriverKind) -> Said {
    let read = |text: &str| text.parse().map(|spec: PowerSpec| (spec.to_string(), words(spec.capabilities())));
    Said { word: kind.as_str(), keys: kind.keys(), read }
}

fn snapshot(kind: SnapshotDriverKind) -> Said {
    let read = |text: &str| text.parse().map(|spec: SnapshotSpec| (spec.to_string(), words(spec.capabilities())));
    Said { word: kind.as_str(), keys: kind.keys(), read }
}

fn words(actions: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    actions.into_iter().map(|action| action.to_string()).collect()
}

/// A chapter has each driver, in order, with its keys and a right example.
fn compare(chapter: &str, drivers: &[Said]) {
    let in_order: Vec<&str> = drivers.iter().map(|driver| driver.word).collect();
    assert_eq!(headings(chapter), in_order);
    for driver in drivers {
        let part = Part::of(chapter, driver.word);
        let expected: Vec<String> = driver.keys.iter().map(row).collect();
        assert_eq!(part.rows(), expected, "the keys of {} are\n{}", driver.word, expected.join("\n"));
        let example = part.example();
        assert!(example.split(' ').next() == Some(driver.word), "{example}");
        let can = part.can().split(", ").map(str::to_owned).collect();
        assert_eq!((driver.read)(example), Ok((example.to_owned(), can)), "the example of {}", driver.word);
    }
}

fn headings(chapter: &str) -> Vec<&str> {
    let headings = chapter.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    headings.collect()
}

#[test]
fn the_page_of_the_drivers_is_what_the_code_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/drivers.md");
    let page = std::fs::read_to_string(page).expect("the page is checked in");
    let (_, chapters) = page.split_once("\n## Power\n").expect("it has a chapter of power");
    let (power_chapter, snapshot_chapter) =
        chapters.split_once("\n## Snapshots\n").expect("it has a chapter of snapshots");
    compare(power_chapter, &PowerDriverKind::ALL.map(power));
    compare(snapshot_chapter, &SnapshotDriverKind::ALL.map(snapshot));
}
