//! The table, and the same as JSON.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Failed;

/// The goal of a ratio.
#[derive(Debug, Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// Every ratio that is measured, with its goal.
const GOALS: [(&str, Goal); 7] = [
    ("reveal_256_over_publish", Goal::AtLeast(4.0)),
    ("reveal_64_over_publish", Goal::AtLeast(3.0)),
    ("reveal_1_p50_over_publish_p50", Goal::AtMost(1.6)),
    ("reveal_64_signed_in_over_key", Goal::AtLeast(0.95)),
    ("rebuild_over_drain", Goal::AtLeast(0.3)),
    ("verify_over_strict", Goal::AtLeast(0.9)),
    ("audit_query_1e6_over_1e4", Goal::AtMost(1.5)),
];

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
        }
    }
}

/// From this many cores on, other processes use more than on a machine at rest.
const DISTURBED: f64 = 0.1;

/// The results.
pub(crate) struct Report {
    quick: bool,
    disturbed: bool,
    /// Why the run ended early, if it did.
    incomplete: Option<String>,
    machine: Value,
    ratios: Vec<(&'static str, f64)>,
    figures: Vec<(String, Value, &'static str)>,
}

/// The figures do not repeat to more than four significant digits.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = value.abs().log10().floor();
    let scale = 10_f64.powf(3.0 - digits);
    if digits >= 3.0 {
        value.round()
    } else {
        (value * scale).round() / scale
    }
}

impl Report {
    pub(crate) fn new(quick: bool, machine: Value) -> Self {
        Self {
            quick,
            disturbed: false,
            incomplete: None,
            machine,
            ratios: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// One of [`GOALS`].
    ///
    /// # Panics
    /// When it is none.
    pub(crate) fn ratio(&mut self, name: &'static str, value: f64) {
        assert!(
            GOALS.iter().any(|goal| goal.0 == name),
            "{name} has no goal"
        );
        self.ratios.push((name, rounded(value)));
    }

    pub(crate) fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures
            .push((name.into(), json!(rounded(value)), unit));
    }

    /// Records the cores that other processes kept busy meanwhile.
    pub(crate) fn others(&mut self, cores: f64) {
        self.disturbed = cores > DISTURBED;
        self.figure("others_busy_cores", cores, "cores, on average");
    }

    /// Marks the run as ended early: the report has the results until then.
    pub(crate) fn incomplete(&mut self, why: &str) {
        self.incomplete = Some(why.to_owned());
    }

    pub(crate) fn fact(&mut self, name: impl Into<String>, value: bool) {
        self.figures.push((name.into(), json!(value), ""));
    }

    fn json(&self) -> Value {
        let ratios: Map<String, Value> = self
            .ratios
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let figures: Map<String, Value> = self
            .figures
            .iter()
            .map(|(name, value, _)| (name.clone(), value.clone()))
            .collect();
        json!({"quick": self.quick, "disturbed": self.disturbed, "machine": self.machine, "ratios": ratios, "figures": figures})
    }

    /// Writes it as JSON.
    pub(crate) fn write(&self, file: &Path) -> Result<(), Failed> {
        std::fs::write(file, serde_json::to_string_pretty(&self.json())? + "\n")?;
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = |name: &str| self.machine[name].as_str().unwrap_or_default();
        writeln!(
            f,
            "\nkeyroll on {} cores ({}), nats-server {}, every message synced to {}{}",
            self.machine["cores"],
            machine("cpu"),
            machine("nats_server"),
            machine("file_system"),
            if self.quick {
                "; QUICK: small sizes, short rounds"
            } else {
                ""
            }
        )?;
        if self.disturbed {
            writeln!(
                f,
                "\nDISTURBED: other processes kept cores busy; these ratios say little, met or not"
            )?;
        }
        if let Some(why) = &self.incomplete {
            writeln!(f, "\nINCOMPLETE: {why}")?;
        }
        writeln!(f, "\n{:<42} {:>12}  {:<8}", "ratio", "measured", "goal")?;
        for (name, value) in &self.ratios {
            let goal = GOALS.iter().find(|goal| goal.0 == *name);
            let (goal, verdict) = goal.map_or((String::new(), ""), |(_, goal)| {
                (
                    goal.to_string(),
                    if goal.is_met(*value) { "met" } else { "MISSED" },
                )
            });
            writeln!(f, "{name:<42} {value:>12}  {goal:<8} {verdict}")?;
        }
        writeln!(f, "\n{:<42} {:>12}  unit", "figure", "measured")?;
        for (name, value, unit) in &self.figures {
            writeln!(f, "{name:<42} {:>12}  {unit}", value.to_string())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn four_digits_are_kept() {
        let all = [123_456.7, 12.345_67, 0.012_345_6, 0.0].map(rounded);
        assert_eq!(all, [123_457.0, 12.35, 0.012_35, 0.0]);
    }

    #[test]
    fn goals_are_met_from_their_own_side() {
        assert!(Goal::AtLeast(4.0).is_met(4.0) && !Goal::AtLeast(4.0).is_met(3.9));
        assert!(Goal::AtMost(1.5).is_met(1.5) && !Goal::AtMost(1.5).is_met(1.6));
    }

    #[test]
    fn a_run_that_failed_shows_why_and_what_it_had() {
        let mut report = Report::new(true, json!({"cores": 2}));
        report.figure("create_per_second", 10.0, "1/s");
        report.incomplete("the callers failed");
        let shown = report.to_string();
        assert!(shown.contains("INCOMPLETE: the callers failed"), "{shown}");
        assert!(shown.contains("create_per_second"), "{shown}");
    }

    #[test]
    fn the_file_has_all_parts() {
        let mut report = Report::new(true, json!({"cores": 2}));
        report.ratio("rebuild_over_drain", 0.5);
        report.figure("create_per_second", 10.0, "1/s");
        report.fact("digests_equal", true);
        report.others(0.5);
        let json = report.json();
        assert_eq!(json["disturbed"], json!(true));
        assert_eq!(
            (&json["quick"], &json["machine"]["cores"]),
            (&json!(true), &json!(2))
        );
        assert_eq!(json["ratios"]["rebuild_over_drain"], json!(0.5));
        assert_eq!(
            json["figures"],
            json!({"create_per_second": 10.0, "digests_equal": true, "others_busy_cores": 0.5})
        );
    }
}
