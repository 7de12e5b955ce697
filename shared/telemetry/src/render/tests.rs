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
