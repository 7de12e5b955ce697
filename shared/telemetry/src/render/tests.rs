use muster_proto::v1::{Cell, Column, ReportReply, Row, cell::Value};

use super::{Format, render};

fn reply() -> ReportReply {
    let column = |name: &str, numeric| Column { name: name.into(), numeric };
    let text = |text: &str| Cell { value: Some(Value::Text(text.into())) };
    let number = |number| Cell { value: Some(Value::Number(number)) };
    let integer = |integer| Cell { value: Some(Value::Integer(integer)) };
    let none = || Cell { value: None };
    ReportReply {
        title: "performance of run 1 by module".into(),
        columns: vec![
            column("module", false),
            column("metric", false),
            column("unit", false),
            column("n", true),
            column("total", true),
            column("rate_per_second", true),
            column("avg", true),
        ],
        rows: vec![
            Row {
                cells: vec![
                    text("high-io"),
                    text("written_bytes"),
                    text("bytes"),
                    integer(120),
                    number(5e9),
                    number(2.5e8),
                    none(),
                ],
            },
            Row {
                cells: vec![
                    text("a,\"b\""),
                    text("latency"),
                    text("seconds"),
                    integer(7),
                    none(),
                    none(),
                    number(0.0125),
                ],
            },
        ],
        notes: vec!["2 rows".into()],
    }
}

#[test]
fn tables_are_aligned_and_say_bytes_in_units_that_can_be_read() {
    insta::assert_snapshot!(render(&reply(), Format::Table), @r#"
    performance of run 1 by module
    module   metric         unit       n     total  rate_per_second     avg
    high-io  written_bytes  bytes    120  4.66 GiB        238 MiB/s       -
    a,"b"    latency        seconds    7         -                -  0.0125
    2 rows
    "#);
}

#[test]
fn json_has_exact_numbers_and_null_for_what_is_missing() {
    insta::assert_snapshot!(render(&reply(), Format::Json), @r#"
    {
      "columns": [
        "module",
        "metric",
        "unit",
        "n",
        "total",
        "rate_per_second",
        "avg"
      ],
      "notes": [
        "2 rows"
      ],
      "rows": [
        {
          "avg": null,
          "metric": "written_bytes",
          "module": "high-io",
          "n": 120,
          "rate_per_second": 250000000.0,
          "total": 5000000000.0,
          "unit": "bytes"
        },
        {
          "avg": 0.0125,
          "metric": "latency",
          "module": "a,\"b\"",
          "n": 7,
          "rate_per_second": null,
          "total": null,
          "unit": "seconds"
        }
      ],
      "title": "performance of run 1 by module"
    }
    "#);
}

#[test]
fn csv_quotes_what_needs_it() {
    insta::assert_snapshot!(render(&reply(), Format::Csv), @r#"
    module,metric,unit,n,total,rate_per_second,avg
    high-io,written_bytes,bytes,120,5000000000,250000000,
    "a,""b""",latency,seconds,7,,,0.0125
    "#);
}

#[test]
fn control_characters_do_not_reach_a_terminal() {
    let mut reply = reply();
    reply.title = "a\u{1b}[2Jb\n".into();
    assert!(render(&reply, Format::Table).starts_with("a [2Jb \n"));
}

#[test]
fn wide_tables_name_the_columns_in_which_everything_is_0() {
    let mut reply = reply();
    for name in ["mia", "lost", "away", "dead"] {
        reply.columns.push(Column { name: name.into(), numeric: true });
        reply.rows.iter_mut().for_each(|row| row.cells.push(Cell { value: Some(Value::Integer(0)) }));
    }
    let text = render(&reply, Format::Table);
    assert!(text.contains("all 0: mia, lost, away, dead\n") && !text.contains("avg  mia"), "{text}");
}

/// Two columns over time, of which one is not known at one moment.
fn over_time() -> ReportReply {
    let column = |name: &str, numeric| Column { name: name.into(), numeric };
    let row = |second: i64, errors: i64, rate: Option<f64>| Row {
        cells: vec![
            Cell { value: Some(Value::Text(format!("2026-11-20T12:00:{second:02}.000Z"))) },
            Cell { value: Some(Value::Integer(errors)) },
            Cell { value: Some(Value::Integer(0)) },
            Cell { value: rate.map(Value::Number) },
        ],
    };
    ReportReply {
        title: "timeline <of> run 1".into(),
        columns: vec![
            column("time", false),
            column("errors", true),
            column("dead", true),
            column("sent_bytes_per_second", true),
        ],
        rows: vec![row(0, 0, Some(1024.0)), row(10, 4, None), row(20, 2, Some(4096.0)), row(30, 8, Some(2048.0))],
        notes: vec![],
    }
}

#[test]
fn a_terminal_shows_how_columns_over_time_went() {
    let text = render(&over_time(), Format::Terminal);
    let lines: Vec<&str> = text.lines().rev().take(2).collect();
    assert_eq!(lines, ["sent_bytes_per_second  ▁ █▃  1.00 KiB/s to 4.00 KiB/s", "errors                 ▁▅▃█  0 to 8"]);
    assert!(!render(&over_time(), Format::Table).contains('▁'));
    assert_eq!(render(&reply(), Format::Terminal), render(&reply(), Format::Table), "what is not over time has none");
}

#[test]
fn a_page_has_a_chart_for_each_column_that_tells_something_and_names_nothing_outside() {
    let page = render(&over_time(), Format::Html);
    assert_eq!(page.matches("<svg ").count(), 2, "{page}");
    assert!(page.contains("timeline &lt;of&gt; run 1") && page.contains("default-src 'none'"), "{page}");
    for outside in ["http:", "https:", "src=", "href=", "url(", "<script", "@import"] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }
    let bars = render(&reply(), Format::Svg);
    assert_eq!(bars.matches("class=\"bar\"").count(), 2, "one metric has a rate, the other a mean: {bars}");
}
