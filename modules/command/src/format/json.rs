//! JSON objects among the lines that a program prints: each begins with a line `{` and ends with a line `}`.

use serde_json::Value;

/// Most bytes of an object.
const OBJECT_BYTES_MAX: usize = 4 << 20;

/// Gathers lines until an object is whole.
#[derive(Debug, Default)]
pub(super) struct Objects {
    text: String,
    inside: bool,
    /// Something was too long, or not JSON.
    pub(super) broken: bool,
}

impl Objects {
    /// The object that a line ends.
    pub(super) fn line(&mut self, line: &str) -> Option<Value> {
        let line = line.trim_end();
        if line == "{" {
            self.text.clear();
            self.inside = true;
        }
        if !self.inside {
            return None;
        }
        if self.text.len() + line.len() >= OBJECT_BYTES_MAX {
            self.inside = false;
            self.broken = true;
            self.text = String::new();
            return None;
        }
        self.text.push_str(line);
        self.text.push('\n');
        if line != "}" {
            return None;
        }
        self.inside = false;
        let object = serde_json::from_str(&self.text);
        self.broken |= object.is_err();
        object.ok()
    }
}

/// A number below an object.
pub(super) fn number(value: &Value, path: &[&str]) -> Option<f64> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_f64().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_among_other_lines_and_what_is_broken_is_known() {
        let mut objects = Objects::default();
        let lines = ["fio: a warning", "{", " \"a\": {", "  \"b\": 1.5", " }", "}", "more"];
        let found: Vec<Value> = lines.into_iter().filter_map(|line| objects.line(line)).collect();
        assert_eq!(number(&found[0], &["a", "b"]), Some(1.5));
        assert_eq!((found.len(), number(&found[0], &["a", "c"]), objects.broken), (1, None, false));
        assert_eq!(["{", "oops", "}"].into_iter().find_map(|line| objects.line(line)), None);
        assert!(objects.broken);
    }

    #[test]
    fn an_endless_object_is_forgotten() {
        let mut objects = Objects::default();
        objects.line("{");
        let line = "x".repeat(1 << 20);
        for _ in 0..5 {
            assert_eq!(objects.line(&line), None);
        }
        assert!(objects.broken && objects.text.is_empty());
    }
}
