//! Values that many things share, each kept once and known by a number.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Values by number; a number is used again once nothing has it.
#[derive(Debug, Clone)]
pub(super) struct Dictionary<T> {
    numbers: BTreeMap<Arc<T>, u32>,
    entries: Vec<Option<(Arc<T>, u32)>>,
    free: Vec<u32>,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), entries: Vec::new(), free: Vec::new() }
    }
}

impl<T: Ord> Dictionary<T> {
    /// One more thing has a value.
    pub(super) fn enter(&mut self, value: T) -> u32 {
        if let Some(number) = self.numbers.get(&value) {
            if let Some((_, count)) = &mut self.entries[*number as usize] {
                *count += 1;
            }
            return *number;
        }
        let value = Arc::new(value);
        let entry = Some((value.clone(), 1));
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.numbers.insert(value, number);
        number
    }

    /// One thing less has the value of a number.
    pub(super) fn leave(&mut self, number: u32) {
        let Some(slot) = self.entries.get_mut(number as usize) else { return };
        let Some((value, count)) = slot else { return };
        *count -= 1;
        if *count == 0 {
            self.numbers.remove(value);
            *slot = None;
            self.free.push(number);
        }
    }

    /// The value of a number.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.entries.get(number as usize)?.as_ref().map(|(value, _)| &**value)
    }

    /// Something of every value, by number; `absent` where a number is free.
    pub(super) fn map<R>(&self, absent: R, of: impl Fn(&T) -> R) -> Vec<R>
    where
        R: Clone,
    {
        self.entries.iter().map(|entry| entry.as_ref().map_or(absent.clone(), |(value, _)| of(value))).collect()
    }

    /// How many things have a value.
    #[cfg(test)]
    pub(super) fn entered(&self) -> u32 {
        self.entries.iter().flatten().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_number_while_something_has_it() {
        let mut dictionary = Dictionary::default();
        let (first, second) = (dictionary.enter("ssd"), dictionary.enter("hdd"));
        assert_eq!(dictionary.enter("ssd"), first);
        dictionary.leave(first);
        assert_eq!(dictionary.get(first), Some(&"ssd"), "one is left");
        dictionary.leave(first);
        assert_eq!(dictionary.get(first), None);
        assert_eq!(dictionary.enter("nvme"), first, "the number is free");
        assert_eq!((dictionary.get(second), dictionary.entered()), (Some(&"hdd"), 2));
        assert_eq!(dictionary.map(0, |value| value.len()), [4, 3]);
    }
}
