//! A report as a page, in a browser that is not ours: its charts can be seen, in light and in dark, and nothing is asked of anybody.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use muster_proto::v1;
use muster_proto::v1::report_query::Kind;
use muster_telemetry::{Format, render};
use muster_testkit::tools;

use crate::world::World;

/// Colour of lines and bars where it is light, and where it is dark.
const LIGHT: [u8; 3] = [0x09, 0x69, 0xda];
const DARK: [u8; 3] = [0x58, 0xa6, 0xff];
/// A chart that can be seen has so many pixels of it.
const SEEN_MIN: usize = 500;
/// No browser takes longer for a page; it is ended by `timeout` of coreutils.
const LIMIT_SECONDS: &str = "60";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_a_report_shows_its_charts_and_asks_nobody() {
    let world = World::recorded().await;
    let filter = Some(v1::ReportFilter { run: 1, ..Default::default() });
    for kind in [
        Kind::Timeline(v1::TimelineQuery {
            filter: filter.clone(),
            bucket_ns: 60_000_000_000,
            metric: "written_bytes".into(),
        }),
        Kind::Worst(v1::WorstQuery { filter, metrics: vec!["written_bytes".into()] }),
    ] {
        let reply = world.ask(kind).await.expect("an answer");
        let page = render(&reply, Format::Html);
        tokio::task::spawn_blocking(move || looked_at(&page)).await.expect("no panic");
    }
}

/// What the test would see of a page that asks: one without our policy, with a picture from elsewhere.
#[test]
fn a_page_that_asks_is_found_out() {
    let chromium = tools::packaged("chromium").expect("the browser is installed");
    let scratch = tempfile::tempdir().expect("a folder");
    let page = "<!doctype html><img src=\"http://127.0.0.1:9/elsewhere.png\">";
    std::fs::write(scratch.path().join("report.html"), page).expect("the page is written");
    let (_, asked) = shot(&chromium, scratch.path(), "asks", "1");
    assert_eq!(asked, ["http://127.0.0.1:9/elsewhere.png"]);
}

fn looked_at(page: &str) {
    let chromium = tools::packaged("chromium").expect("the browser is installed");
    let scratch = tempfile::tempdir().expect("a folder");
    let file = scratch.path().join("report.html");
    std::fs::write(&file, page).expect("the page is written");
    let (light, asked) = shot(&chromium, scratch.path(), "light", "1");
    assert!(asked.is_empty(), "the page asked for {asked:?}");
    let (dark, _) = shot(&chromium, scratch.path(), "dark", "0");
    let count = |picture: &Picture, colour: [u8; 3]| picture.pixels().filter(|pixel| *pixel == colour).count();
    assert!(count(&light, LIGHT) >= SEEN_MIN, "the charts can not be seen: {}", count(&light, LIGHT));
    assert!(count(&dark, DARK) >= SEEN_MIN, "the charts can not be seen in the dark: {}", count(&dark, DARK));
    assert_eq!(count(&light, DARK), 0);
}

/// A picture of the page, and what it asked for beside itself.
fn shot(chromium: &Path, folder: &Path, name: &str, scheme: &str) -> (Picture, Vec<String>) {
    let (picture, log) = (folder.join(format!("{name}.png")), folder.join(format!("{name}.json")));
    let own = [
        "--headless=new".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        "--no-first-run".to_owned(),
        "--no-pings".to_owned(),
        "--hide-scrollbars".to_owned(),
        "--window-size=1600,2400".to_owned(),
        format!("--blink-settings=preferredColorScheme={scheme}"),
        format!("--user-data-dir={}", folder.join(format!("profile-{name}")).display()),
        format!("--log-net-log={}", log.display()),
        format!("--screenshot={}", picture.display()),
        format!("file://{}", folder.join("report.html").display()),
    ];
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT_SECONDS]).arg(chromium).args(own).stdin(Stdio::null());
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = std::fs::read_to_string(log).expect("it kept a log of requests");
    (Picture::read(&std::fs::read(picture).expect("a picture")), urls(&asked).map(str::to_owned).collect())
}

/// What a page asked for: requests in the name of a file. The browser's own have another name.
fn urls(log: &str) -> impl Iterator<Item = &str> {
    let of_page = |line: &&str| line.contains("\"initiator\":") && line.contains("\"network_isolation_key\":\"file://");
    log.lines().filter(of_page).filter_map(|line| {
        let rest = &line[line.find("\"url\":\"")? + "\"url\":\"".len()..];
        Some(&rest[..rest.find('"')?])
    })
}

/// A PNG of eight bits for each of three or four channels, as browsers write it.
struct Picture {
    channels: usize,
    width: usize,
    rows: Vec<Vec<u8>>,
}

impl Picture {
    fn read(file: &[u8]) -> Self {
        let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().expect("four bytes")) as usize;
        let (mut at, mut packed, mut header) = (8, Vec::new(), (0, 0, 0));
        while at < file.len() {
            let (length, kind) = (number(at), &file[at + 4..at + 8]);
            match kind {
                b"IHDR" => header = (number(at + 8), number(at + 12), usize::from(file[at + 17])),
                b"IDAT" => packed.extend_from_slice(&file[at + 8..at + 8 + length]),
                _ => {}
            }
            at += length + 12;
        }
        let (width, height, kind) = header;
        let channels = if kind == 6 { 4 } else { 3 };
        let mut raw = Vec::new();
        flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_end(&mut raw).expect("it is packed as it says");
        let mut rows: Vec<Vec<u8>> = Vec::with_capacity(height);
        for line in raw.chunks_exact(width * channels + 1) {
            let above = rows.last().cloned().unwrap_or_else(|| vec![0; width * channels]);
            rows.push(unfiltered(line[0], &line[1..], &above, channels));
        }
        Self { channels, width, rows }
    }

    fn pixels(&self) -> impl Iterator<Item = [u8; 3]> {
        let of_row = |row: &'_ Vec<u8>| -> Vec<[u8; 3]> {
            row.chunks_exact(self.channels).take(self.width).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
        };
        self.rows.iter().flat_map(of_row)
    }
}

/// The filters of PNG (RFC 2083, chapter 6).
fn unfiltered(filter: u8, line: &[u8], above: &[u8], channels: usize) -> Vec<u8> {
    let mut row: Vec<u8> = Vec::with_capacity(line.len());
    for (at, byte) in line.iter().enumerate() {
        let left = if at >= channels { row[at - channels] } else { 0 };
        let corner = if at >= channels { above[at - channels] } else { 0 };
        let add = match filter {
            0 => 0,
            1 => left,
            2 => above[at],
            3 => u8::midpoint(left, above[at]),
            4 => paeth(left, above[at], corner),
            other => panic!("there is no filter {other}"),
        };
        row.push(byte.wrapping_add(add));
    }
    row
}

fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(above) - i16::from(corner);
    let distance = |value: u8| (guess - i16::from(value)).abs();
    match (distance(left), distance(above), distance(corner)) {
        (l, a, c) if l <= a && l <= c => left,
        (_, a, c) if a <= c => above,
        _ => corner,
    }
}
