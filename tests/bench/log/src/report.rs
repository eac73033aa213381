//! The results as JSON lines and as a table.

use std::time::Duration;

use serde_json::json;
use steadfast_machine::convert;

use crate::durable::DurableRun;
use crate::engine::EngineKind;
use crate::opening::Opening;

/// The targets: minimum ratio to the better of fjall and redb, maximum ratio to a plain read, and maximum time per GiB.
const DURABLE_RATIO_MIN: f64 = 1.5;
const OPEN_RATIO_MAX: f64 = 2.0;
const OPEN_SECONDS_PER_GIB_MAX: f64 = 5.0;

const GIB: f64 = 1_073_741_824.0;

pub(crate) fn lines(durable: &[DurableRun], opening: Option<&Opening>) -> String {
    let mut out = String::new();
    for run in durable {
        let line = json!({
            "row": "log_durable", "engine": run.engine.name(), "repeat": run.repeat,
            "records_per_second": run.records_per_second,
            "p50_us": micros(run.p50), "p99_us": micros(run.p99),
        });
        push(&mut out, &line.to_string());
    }
    push(
        &mut out,
        &json!({"row": "log_durable_ratio", "ratio": ratio(durable), "ratio_min": DURABLE_RATIO_MIN})
            .to_string(),
    );
    if let Some(opening) = opening {
        let line = json!({
            "row": "log_open", "bytes": opening.bytes, "records": opening.records,
            "open_seconds": median(opening.opens.iter().map(Duration::as_secs_f64)),
            "read_seconds": median(opening.reads.iter().map(Duration::as_secs_f64)),
            "ratio": opening.ratio(), "ratio_max": OPEN_RATIO_MAX,
            "seconds_per_gib": opening.seconds_per_gib(), "seconds_per_gib_max": OPEN_SECONDS_PER_GIB_MAX,
        });
        push(&mut out, &line.to_string());
    }
    out
}

pub(crate) fn table(durable: &[DurableRun], opening: Option<&Opening>) -> String {
    let mut out = String::new();
    push(
        &mut out,
        "256-byte durable records, 64 writers x 64 in flight; medians of the repeats\n",
    );
    push(
        &mut out,
        "| engine | records/s | lowest | highest | p50 | p99 |",
    );
    push(&mut out, "| --- | ---: | ---: | ---: | ---: | ---: |");
    for engine in EngineKind::ALL {
        let rates: Vec<f64> = runs_of(durable, engine)
            .map(|run| run.records_per_second)
            .collect();
        let (low, high) = rates.iter().fold((f64::MAX, 0.0_f64), |(low, high), rate| {
            (low.min(*rate), high.max(*rate))
        });
        let p50 = median(runs_of(durable, engine).map(|run| run.p50.as_secs_f64() * 1e3));
        let p99 = median(runs_of(durable, engine).map(|run| run.p99.as_secs_f64() * 1e3));
        let rate = median(rates.into_iter());
        let name = engine.name();
        push(
            &mut out,
            &format!("| {name} | {rate:.0} | {low:.0} | {high:.0} | {p50:.2} ms | {p99:.2} ms |"),
        );
    }
    let durable = ratio(durable);
    let outcome = met_or_missed(durable >= DURABLE_RATIO_MIN);
    push(
        &mut out,
        &format!(
            "\nsteadfast / better of fjall and redb: {durable:.2} (at least {DURABLE_RATIO_MIN}: {outcome})"
        ),
    );
    if let Some(opening) = opening {
        push(&mut out, &opening_text(opening));
    }
    out
}

fn opening_text(opening: &Opening) -> String {
    let (ratio, per_gib) = (opening.ratio(), opening.seconds_per_gib());
    format!(
        "\nopening after a kill: {:.2} GiB, {} records, {:.2} s per GiB (at most {OPEN_SECONDS_PER_GIB_MAX}: {}); \
         {ratio:.2} x a plain read with CRC32 (at most {OPEN_RATIO_MAX}: {}), both from the page cache",
        as_float(opening.bytes) / GIB,
        opening.records,
        per_gib,
        met_or_missed(per_gib <= OPEN_SECONDS_PER_GIB_MAX),
        met_or_missed(ratio <= OPEN_RATIO_MAX),
    )
}

impl Opening {
    fn ratio(&self) -> f64 {
        median(
            self.opens
                .iter()
                .zip(&self.reads)
                .map(|(open, read)| open.as_secs_f64() / read.as_secs_f64()),
        )
    }

    fn seconds_per_gib(&self) -> f64 {
        median(self.opens.iter().map(Duration::as_secs_f64)) * GIB / as_float(self.bytes)
    }
}

/// Returns the median over the repeats of the log's rate divided by the rate of the better store in the same repeat.
fn ratio(durable: &[DurableRun]) -> f64 {
    let rate = |engine, repeat| {
        runs_of(durable, engine)
            .find(|run| run.repeat == repeat)
            .map_or(f64::NAN, |run| run.records_per_second)
    };
    median(runs_of(durable, EngineKind::Steadfast).map(|ours| {
        ours.records_per_second
            / rate(EngineKind::Fjall, ours.repeat).max(rate(EngineKind::Redb, ours.repeat))
    }))
}

fn runs_of(durable: &[DurableRun], engine: EngineKind) -> impl Iterator<Item = &DurableRun> {
    durable.iter().filter(move |run| run.engine == engine)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn met_or_missed(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

fn micros(duration: Duration) -> u64 {
    convert::saturating(duration.as_micros())
}

/// Converts a size, rounded down to KiB. Sizes above 4 TiB are limited to 4 TiB.
fn as_float(bytes: u64) -> f64 {
    f64::from(convert::saturating::<u32>(bytes >> 10)) * 1024.0
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}
