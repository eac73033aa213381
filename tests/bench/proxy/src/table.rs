//! Medians of all rounds, and the ratios to the direct path and to the copy loop.

use std::fmt::Write;

/// How bytes reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Direct,
    Copy,
    Proxy,
}

impl Path {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Copy, Self::Proxy];
}

/// The samples of each row, in the order in which rows were added.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<(String, Vec<(Path, f64)>)>);

impl Rows {
    pub(crate) fn add(&mut self, name: String, path: Path, value: f64) {
        match self.0.iter_mut().find(|row| row.0 == name) {
            Some((_, samples)) => samples.push((path, value)),
            None => self.0.push((name, vec![(path, value)])),
        }
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| | direct | copy loop | proxy | proxy / copy loop | proxy / direct |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        for (name, samples) in &self.0 {
            let [direct, copy, proxy] = Path::ALL.map(|path| median(samples, path));
            // A `String` accepts every write.
            let _ = writeln!(
                text,
                "| {name} | {direct:.0} | {copy:.0} | {proxy:.0} | {:.2} | {:.2} |",
                proxy / copy,
                proxy / direct
            );
        }
        text
    }
}

/// The middle sample; the lower one of two.
fn median(samples: &[(Path, f64)], path: Path) -> f64 {
    let of_path = samples.iter().filter(|sample| sample.0 == path);
    let mut values: Vec<f64> = of_path.map(|sample| sample.1).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(f64::NAN)
}
