//! Many short lists in one array, so that reading them one after the other reads memory in order.
//!
//! A list that grows or shrinks moves to the end and leaves a gap; when gaps are most of the array it is packed. So a list in the middle
//! costs no more than one at the end.

/// Gaps that are not worth packing.
const GAPS_MIN: usize = 1024;

/// Lists, by number.
#[derive(Debug, Clone)]
pub(super) struct Lists<T> {
    all: Vec<T>,
    spans: Vec<Span>,
    /// Entries of `all` that are in no list.
    gaps: usize,
}

/// Where a list lies.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    begin: usize,
    length: usize,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { all: Vec::new(), spans: Vec::new(), gaps: 0 }
    }
}

impl<T: Clone> Lists<T> {
    /// A list.
    pub(super) fn of(&self, number: usize) -> &[T] {
        let Span { begin, length } = self.spans[number];
        &self.all[begin..begin + length]
    }

    /// The same, to change its entries.
    pub(super) fn of_mut(&mut self, number: usize) -> &mut [T] {
        let Span { begin, length } = self.spans[number];
        &mut self.all[begin..begin + length]
    }

    /// An empty list before the one of this number.
    pub(super) fn insert(&mut self, number: usize) {
        self.spans.insert(number, Span::default());
    }

    /// Takes a list out.
    pub(super) fn remove(&mut self, number: usize) {
        let span = self.spans.remove(number);
        self.leave(span);
    }

    /// Sets what a list holds.
    pub(super) fn set(&mut self, number: usize, list: &[T]) {
        let span = self.spans[number];
        if span.length == list.len() {
            self.of_mut(number).clone_from_slice(list);
            return;
        }
        self.spans[number] = Span { begin: self.all.len(), length: list.len() };
        self.all.extend_from_slice(list);
        self.leave(span);
    }

    fn leave(&mut self, span: Span) {
        self.gaps += span.length;
        if self.gaps > GAPS_MIN && self.gaps > self.all.len() / 2 {
            self.pack();
        }
    }

    /// All lists in their order, without gaps.
    fn pack(&mut self) {
        let mut packed = Vec::with_capacity(self.all.len() - self.gaps);
        for span in &mut self.spans {
            let begin = packed.len();
            packed.extend_from_slice(&self.all[span.begin..span.begin + span.length]);
            span.begin = begin;
        }
        (self.all, self.gaps) = (packed, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Change {
        Insert(usize),
        Remove(usize),
        Set(usize, Vec<u32>),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            any::<usize>().prop_map(Change::Insert),
            any::<usize>().prop_map(Change::Remove),
            (any::<usize>(), prop::collection::vec(any::<u32>(), 0..700)).prop_map(|(at, list)| Change::Set(at, list)),
        ]
    }

    proptest! {
        #[test]
        fn lists_hold_what_lists_of_their_own_would(changes in prop::collection::vec(change(), 1..60)) {
            let (mut lists, mut expected) = (Lists::default(), Vec::<Vec<u32>>::new());
            for change in changes {
                match change {
                    Change::Insert(at) => {
                        let at = at % (expected.len() + 1);
                        lists.insert(at);
                        expected.insert(at, Vec::new());
                    }
                    Change::Remove(at) if !expected.is_empty() => {
                        lists.remove(at % expected.len());
                        expected.remove(at % expected.len());
                    }
                    Change::Set(at, list) if !expected.is_empty() => {
                        lists.set(at % expected.len(), &list);
                        let at = at % expected.len();
                        expected[at] = list;
                    }
                    Change::Remove(_) | Change::Set(..) => {}
                }
                let found: Vec<Vec<u32>> = (0..expected.len()).map(|number| lists.of(number).to_vec()).collect();
                prop_assert_eq!(&found, &expected);
                let held = expected.iter().map(Vec::len).sum::<usize>();
                prop_assert_eq!(lists.all.len(), held + lists.gaps);
                prop_assert!(lists.gaps <= GAPS_MIN.max(lists.all.len() / 2));
            }
        }
    }
}
