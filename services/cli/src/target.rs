//! What a command names: a job by its number, or a process by its DPID.

use std::str::FromStr;

use muster_model::{Dpid, JobNumber, RunId};

/// Job numbers are written with at most so many digits; longer ones are DPIDs.
const JOB_DIGITS_MAX: usize = 7;

/// A job or a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A job of the current run.
    Job(JobNumber),
    /// A process.
    Process(ProcessName),
}

/// A process, of the current run where none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessName {
    /// Its run, as in `2/00010064`.
    pub(crate) run: Option<RunId>,
    /// Job and process number.
    pub(crate) dpid: Dpid,
}

impl FromStr for Target {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "give a job number like `12`, or a DPID like `00010064` (8 or 16 hexadecimal digits)";
        if text.len() <= JOB_DIGITS_MAX && text.bytes().all(|b| b.is_ascii_digit()) {
            let number: u32 = text.parse().map_err(|_| rule.to_owned())?;
            return if number == 0 { Err("job numbers begin with 1".into()) } else { Ok(Self::Job(JobNumber(number))) };
        }
        text.parse().map(Self::Process).map_err(|why: String| format!("{why}; {rule}"))
    }
}

impl FromStr for ProcessName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (run, dpid) = match text.split_once('/') {
            None => (None, text),
            Some((run, dpid)) => {
                (Some(RunId(run.parse().map_err(|_| format!("`{run}` is not the number of a run"))?)), dpid)
            }
        };
        let dpid: Dpid = dpid.parse().map_err(|error: muster_model::IdError| error.to_string())?;
        if dpid.job.0 == 0 || dpid.process.0 == 0 {
            return Err("job and process numbers begin with 1".into());
        }
        Ok(Self { run, dpid })
    }
}

/// A job, or the plan that one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExportTarget(pub(crate) JobNumber);

impl FromStr for ExportTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("plan:").unwrap_or(text);
        match number.parse() {
            Ok(number) if number > 0 => Ok(Self(JobNumber(number))),
            _ => Err(format!("`{text}` is neither a job number like `12` nor a plan like `plan:12`")),
        }
    }
}

/// What is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhyTarget {
    /// A job or a process.
    Job(Target),
    /// A reservation.
    Reservation(u64),
}

impl FromStr for WhyTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(number) = text.strip_prefix("reservation:") else { return text.parse().map(Self::Job) };
        match number.parse() {
            Ok(number) if number > 0 => Ok(Self::Reservation(number)),
            _ => Err(format!("`{number}` is not the number of a reservation")),
        }
    }
}

/// What is started again: one job, or every job of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rerun {
    /// A job, of the current run where none is named.
    Job {
        /// Its run.
        run: Option<RunId>,
        /// Its number.
        job: JobNumber,
    },
    /// Every job of a run.
    Run(RunId),
}

impl FromStr for Rerun {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "give a job number like `12`, `RUN/JOB` like `2/12`, or every job of a run like `2/*`";
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(|| rule.to_owned());
        match text.split_once('/') {
            None => Ok(Self::Job { run: None, job: JobNumber(number(text)?) }),
            Some((run, "*")) => Ok(Self::Run(RunId(number(run)?))),
            Some((run, job)) => Ok(Self::Job { run: Some(RunId(number(run)?)), job: JobNumber(number(job)?) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_jobs_and_eight_digits_are_dpids() {
        assert_eq!("12".parse(), Ok(Target::Job(JobNumber(12))));
        let Ok(Target::Process(process)) = "00010064".parse::<Target>() else { panic!("a process") };
        assert_eq!((process.run, process.dpid.job.0, process.dpid.process.0), (None, 1, 100));
        let Ok(Target::Process(process)) = "3/00010064".parse::<Target>() else { panic!("a process") };
        assert_eq!(process.run, Some(RunId(3)));
        for bad in ["", "0", "x", "0001006g", "123456789", "a/00010064", "00010000"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rerun_names_a_job_or_a_whole_run() {
        assert_eq!("12".parse(), Ok(Rerun::Job { run: None, job: JobNumber(12) }));
        assert_eq!("2/12".parse(), Ok(Rerun::Job { run: Some(RunId(2)), job: JobNumber(12) }));
        assert_eq!("2/*".parse(), Ok(Rerun::Run(RunId(2))));
        for bad in ["", "0", "*", "2/", "/3", "a/*", "00010064x"] {
            assert!(bad.parse::<Rerun>().is_err(), "{bad}");
        }
    }
}
