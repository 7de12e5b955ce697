//! The last things of a kind, in fixed memory: what one wants to see when data are wrong.

/// A ring of at most `MOST` of them. It grows to its size and stays there.
#[derive(Debug)]
pub struct Recent<T, const MOST: usize> {
    entries: Vec<T>,
    /// All that were ever recorded.
    count: usize,
}

impl<T, const MOST: usize> Recent<T, MOST> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Vec::new(), count: 0 }
    }

    /// Records one; the oldest is forgotten where there is no room.
    pub fn record(&mut self, entry: T) {
        if self.entries.len() < MOST {
            self.entries.push(entry);
        } else {
            self.entries[self.count % MOST] = entry;
        }
        self.count += 1;
    }

    /// Those that are kept and their numbers from 0, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        (self.count - self.entries.len()..self.count).map(|number| (number, &self.entries[number % MOST]))
    }
}

impl<T, const MOST: usize> Default for Recent<T, MOST> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_oldest_first_and_the_rest_forgotten() {
        let mut recent = Recent::<char, 3>::new();
        let kept = |recent: &Recent<char, 3>| recent.iter().map(|(number, entry)| (number, *entry)).collect::<Vec<_>>();
        assert_eq!(kept(&recent), []);
        for (count, entry) in ('a'..='g').enumerate() {
            recent.record(entry);
            assert_eq!(recent.iter().count(), 3.min(count + 1));
        }
        assert_eq!(kept(&recent), [(4, 'e'), (5, 'f'), (6, 'g')]);
    }
}
