//! Measurements for people.

use crate::bench::table::{Aim, Row};
use crate::bench::{Comparison, FirstStep, Measurement, Report, Scaling};
use crate::report::{Align, Table};

fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}

pub(super) fn report(report: &Report) -> String {
    let mut table = Table::new([
        ("benchmark", Align::Left),
        ("variant", Align::Left),
        ("median ms", Align::Right),
        ("min", Align::Right),
        ("max", Align::Right),
        ("GFLOP/s", Align::Right),
        ("dense-equivalent", Align::Right),
        ("GB/s", Align::Right),
        ("G/s gathered", Align::Right),
        ("of roofline", Align::Right),
        ("MiB", Align::Right),
        ("overhead", Align::Right),
    ]);
    for result in &report.results {
        table.row(cells(result));
    }
    format!("{}\n\n{table}", report.ceiling)
}

fn cells(result: &Measurement) -> Vec<String> {
    let mut cells = vec![result.name.clone(), result.variant.clone()];
    match &result.timing {
        Some(t) => cells.extend([
            format!("{:.3}", t.median_ms),
            format!("{:.3}", t.min_ms),
            format!("{:.3}", t.max_ms),
            format!("{:.1}", t.rates.gflops),
            format!("{:.1}", t.dense_equivalent_gflops),
            format!("{:.1}", t.rates.gbytes),
            format!("{:.2}", t.rates.gathered_gnumbers),
            format!("{:.0} %", 100.0 * t.rates.fraction),
        ]),
        None => cells.push("differs".into()),
    }
    if let (Some(network), Some(_)) = (&result.network, &result.timing) {
        cells.push(mib(network.peak_bytes));
        let overhead = network.replay_overhead.unwrap_or(f64::NAN);
        cells.push(format!("{:.1} %", 100.0 * overhead));
    }
    cells
}

pub(super) fn comparison(comparison: &Comparison) -> String {
    let mut table = Table::new([
        ("", Align::Left),
        ("benchmark", Align::Left),
        ("variant", Align::Left),
        ("median ms", Align::Right),
    ]);
    for (letter, side) in [("A", &comparison.a), ("B", &comparison.b)] {
        let time = side.median_ms.map(|ms| format!("{ms:.3}"));
        table.row([
            letter.to_string(),
            side.name.clone(),
            side.variant.clone(),
            time.unwrap_or_else(|| "not timed".into()),
        ]);
    }
    let verdict = comparison.ratio.map_or_else(String::new, |ratio| {
        format!(
            "\nA : B = {:.3} (half of {} pairs between {:.3} and {:.3})\n",
            ratio.median,
            comparison.pairs.len(),
            ratio.low,
            ratio.high
        )
    });
    format!("\n{table}{verdict}")
}

pub(super) fn scaling(scaling: &Scaling) -> String {
    let base: Vec<String> = (scaling.base.iter())
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let mut text = format!(
        "Training steps of {} networks around {}; each axis changes one number.\n",
        scaling.group,
        base.join(", ")
    );
    for axis in &scaling.axes {
        let mut table = Table::new([
            (axis.axis, Align::Right),
            ("ms a step", Align::Right),
            ("MiB", Align::Right),
            ("MiB, recomputed", Align::Right),
            ("GFLOP", Align::Right),
            ("", Align::Left),
        ]);
        for point in &axis.points {
            let time = point.median_ms.map(|ms| format!("{ms:.0}"));
            table.row([
                point.value.to_string(),
                time.unwrap_or_else(|| "-".into()),
                mib(point.peak_bytes),
                mib(point.recomputed_bytes),
                format!("{:.1}", point.gflop),
                point.skipped.clone().unwrap_or_default(),
            ]);
        }
        let exponent = |e: Option<f64>| e.map_or_else(|| "-".into(), |e| format!("{e:.2}"));
        table.row([
            "exponent".to_string(),
            exponent(axis.time_exponent),
            exponent(axis.memory_exponent),
            exponent(axis.recomputed_memory_exponent),
        ]);
        text += &format!("\n{table}");
    }
    text
}

pub(super) fn table(rows: &[Row]) -> String {
    let mut table = Table::new([
        ("row", Align::Left),
        ("work", Align::Left),
        ("ours", Align::Right),
        ("other", Align::Right),
        ("", Align::Left),
        ("against", Align::Left),
        ("ratio", Align::Right),
        ("half of pairs", Align::Right),
        ("aim", Align::Right),
        ("reached", Align::Left),
        ("note", Align::Left),
    ]);
    let number = |value: Option<f64>| value.map_or_else(|| "-".into(), significant);
    for row in rows {
        table.row([
            row.key.clone(),
            row.work.to_string(),
            number(row.ours),
            number(row.peer),
            row.unit.to_string(),
            row.against.to_string(),
            number(row.ratio.map(|r| r.median)),
            (row.ratio).map_or_else(String::new, |r| {
                format!("{}..{}", significant(r.low), significant(r.high))
            }),
            match row.aim {
                Aim::AtLeast(least) => format!(">= {least}"),
                Aim::AtMost(most) => format!("<= {most}"),
                Aim::Told => String::new(),
            },
            match row.reached {
                Some(true) => "yes".into(),
                Some(false) => "no".into(),
                None => String::new(),
            },
            row.note.clone().unwrap_or_default(),
        ]);
    }
    let missed = rows.iter().filter(|r| r.reached == Some(false)).count();
    let open = rows
        .iter()
        .filter(|r| r.reached.is_none() && r.aim != Aim::Told);
    format!(
        "\n{table}\n{missed} rows do not reach their aim; {} have an aim and no number.\n",
        open.count()
    )
}

/// Three significant digits.
fn significant(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

pub(super) fn first_step(name: &str, told: &FirstStep) -> String {
    let resident = told.peak_rss.zip(told.base_rss).map(|(peak, base)| {
        format!(
            "; resident memory grew by {} MiB",
            mib(peak.saturating_sub(base))
        )
    });
    format!(
        "{name}: first step after {:.2} s, the next in {:.2} s; the plan takes {} MiB{}\n",
        told.seconds,
        told.next_seconds,
        mib(told.plan_bytes),
        resident.unwrap_or_default()
    )
}
