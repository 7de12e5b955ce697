//! One series as a question sees it: chunks that are told by their summaries where that is enough, values where it is not.
//!
//! A chunk has to be opened where the bounds of the question, or a bucket's, cut it, and where its times overlap with other rows of the
//! series: what came late lies between what came on time, and what came twice counts once, as the newer of the two says.

use std::collections::BTreeMap;

use super::gather::received;
use super::{HOUR, Points, Sketch, Summary, Tally, step};
use crate::records::MetricKind;

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// From this pool time on, nanoseconds.
    pub from: i64,
    /// Before this.
    pub to: i64,
    /// Width of a bucket, nanoseconds; none for one over everything.
    pub bucket: Option<i64>,
}

impl Bounds {
    /// The start of the bucket of a moment; 0 where there is only one.
    #[must_use]
    pub fn bucket_of(&self, at: i64) -> i64 {
        self.bucket.map_or(0, |width| at.div_euclid(width) * width)
    }

    /// The moment is asked for.
    #[must_use]
    pub fn contain(&self, at: i64) -> bool {
        self.from <= at && at < self.to
    }
}

/// What a segment stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// One chunk.
    Hour,
    /// All chunks of a day, which take its place where it would have to be opened.
    Day,
}

/// A chunk without its values, or a day of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// What it stands for.
    pub span: Span,
    /// Start of its hour or day, nanoseconds.
    pub start: i64,
    /// Its part.
    pub part: i64,
    /// What most questions ask.
    pub summary: Summary,
    /// Its quantiles.
    pub sketch: Sketch,
}

/// A value that is not compacted yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hot {
    /// Pool time, nanoseconds.
    pub at: i64,
    /// Sequence in the stream.
    pub sequence: u64,
    /// The value.
    pub value: f64,
}

/// A series.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// How its values add up.
    pub kind: MetricKind,
    /// A counter of a process began at 0; of one of a machine the first value says nothing.
    pub from_zero: bool,
    /// When its process began to run, where that is known.
    pub running_at: Option<i64>,
    /// What is before the first and not before the second belongs to another run, and is not seen.
    pub seen: (i64, i64),
    /// Its chunks.
    pub segments: Vec<Segment>,
    /// Its values that are in none.
    pub hot: Vec<Hot>,
}

impl Line {
    /// Chunks, by their place in the list, that have to be opened for a question.
    #[must_use]
    pub fn to_open(&self, bounds: &Bounds) -> Vec<usize> {
        let overlapping = self.overlapping();
        let is_cut = |&(place, segment): &(usize, &Segment)| {
            let Summary { first_at, last_at, .. } = segment.summary;
            let touches = first_at < bounds.to.min(self.seen.1) && last_at >= bounds.from.max(self.seen.0);
            let inside = [first_at, last_at].into_iter().all(|at| bounds.contain(at) && self.sees(at));
            let one_bucket = bounds.bucket_of(first_at) == bounds.bucket_of(last_at);
            touches && (!inside || !one_bucket || overlapping[place])
        };
        self.segments.iter().enumerate().filter(is_cut).map(|(place, _)| place).collect()
    }

    /// Which segments share times with others, or with hot values.
    fn overlapping(&self) -> Vec<bool> {
        let span =
            |(place, segment): (usize, &Segment)| (segment.summary.first_at, segment.summary.last_at, Some(place));
        let mut spans: Vec<(i64, i64, Option<usize>)> = self.segments.iter().enumerate().map(span).collect();
        let times = || self.hot.iter().map(|hot| hot.at);
        spans.extend(times().min().zip(times().max()).map(|(first, last)| (first, last, None)));
        spans.sort_unstable();
        let mut found = vec![false; self.segments.len()];
        let mut reaching: Option<(i64, Option<usize>)> = None;
        for (first, last, place) in spans {
            if let Some((_, other)) = reaching.filter(|(reach, _)| *reach >= first) {
                for place in [place, other].into_iter().flatten() {
                    found[place] = true;
                }
            }
            if reaching.is_none_or(|(reach, _)| last > reach) {
                reaching = Some((last, place));
            }
        }
        found
    }

    fn sees(&self, at: i64) -> bool {
        self.seen.0 <= at && at < self.seen.1
    }

    /// Counts everything that is asked for, bucket by bucket. `opened` has the points of the chunks that were to be opened.
    /// `to_tally` lets something be added to the tally of a bucket.
    pub fn count(
        &self,
        opened: &BTreeMap<usize, Points>,
        bounds: &Bounds,
        mut to_tally: impl FnMut(i64, &mut dyn FnMut(&mut Tally)),
    ) {
        let mut previous: Option<Part<'_>> = None;
        for part in self.parts(opened) {
            if bounds.contain(part.first_at) {
                let before = previous.map(|previous| previous.last_at).or(self.running_at);
                let since = before.unwrap_or(part.first_at).min(part.first_at);
                let rise = self.rise(previous.map(|previous| previous.last), part.first);
                to_tally(bounds.bucket_of(part.first_at), &mut |tally| {
                    tally.span(since, part.last_at);
                    match part.segment {
                        None => tally.value(self.kind, part.first, rise),
                        Some(segment) => tally.segment(self.kind, segment, self.rise_of(segment, rise)),
                    }
                });
            }
            // Chunks before the question may overlap: of those the one that ends last is the one before.
            if previous.is_none_or(|previous| (previous.last_at, previous.rank) <= (part.last_at, part.rank)) {
                previous = Some(part);
            }
        }
    }

    /// What a whole chunk adds, when its first value adds `first` to the one before.
    fn rise_of(&self, segment: &Segment, first: Option<f64>) -> Option<f64> {
        let within = segment.summary.increase;
        match self.kind {
            MetricKind::Gauge => None,
            // The sum of deltas has the first one in it.
            MetricKind::Delta => within,
            MetricKind::Counter => Some(first.unwrap_or(0.0) + within.unwrap_or(0.0)),
        }
    }

    /// What a value adds to the one before.
    fn rise(&self, previous: Option<f64>, value: f64) -> Option<f64> {
        match (previous, self.kind) {
            (Some(previous), kind) => step(kind, previous, value),
            (None, MetricKind::Counter) if !self.from_zero => Some(0.0),
            (None, kind) => step(kind, 0.0, value),
        }
    }

    /// Everything that is seen, in the order of time. Chunks that were not opened overlap with nothing that is asked for.
    fn parts(&self, opened: &BTreeMap<usize, Points>) -> Vec<Part<'_>> {
        let mut values: Vec<Part<'_>> = Vec::new();
        for (place, points) in opened {
            let rank = rank(&self.segments[*place]);
            values.extend(points.iter().map(|(at, value)| Part::value(at, rank, value)));
        }
        let hot =
            |hot: &Hot| Part::value(hot.at, (true, i64::try_from(hot.sequence).unwrap_or(i64::MAX), 0), hot.value);
        values.extend(self.hot.iter().map(hot));
        values.retain(|part| self.sees(part.first_at));
        values.sort_by_key(|part| (part.first_at, part.rank));
        let newest = |(place, part): &(usize, &Part<'_>)| {
            values.get(place + 1).is_none_or(|next| next.first_at != part.first_at)
        };
        let mut parts: Vec<Part<'_>> = values.iter().enumerate().filter(newest).map(|(_, part)| *part).collect();
        let whole = |(place, segment): &(usize, &Segment)| {
            !opened.contains_key(place) && self.sees(segment.summary.first_at) && self.sees(segment.summary.last_at)
        };
        let segments = self.segments.iter().enumerate().filter(whole);
        parts.extend(segments.map(|(_, segment)| Part::whole(segment)));
        parts.sort_by_key(|part| (part.first_at, part.last_at));
        parts
    }
}

/// Of two values of one time the one of the higher rank counts: what is hot was received last, else by the hour in which it was received.
type Rank = (bool, i64, i64);

fn rank(segment: &Segment) -> Rank {
    let (late, piece) = received(segment.part);
    (false, segment.start / HOUR + late, piece)
}

/// A value, or a chunk that is told by its summary.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    first_at: i64,
    first: f64,
    last_at: i64,
    last: f64,
    rank: Rank,
    segment: Option<&'a Segment>,
}

impl<'a> Part<'a> {
    fn value(at: i64, rank: Rank, value: f64) -> Self {
        Self { first_at: at, first: value, last_at: at, last: value, rank, segment: None }
    }

    fn whole(segment: &'a Segment) -> Self {
        let Summary { first_at, first, last_at, last, .. } = segment.summary;
        Self { first_at, first, last_at, last, rank: rank(segment), segment: Some(segment) }
    }
}
