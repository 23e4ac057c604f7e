//! What makes a measurement worth keeping: date, host, versions and commit.

use serde_json::{Value, json};
use std::process::Command;

/// Date, commit, version and host, as a record begins.
pub(super) fn provenance() -> Value {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "date": date(seconds.map_or(0, |d| d.as_secs())),
        "commit": commit(),
        "equilens": env!("CARGO_PKG_VERSION"),
        "host": {
            "os": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "processor": processor(),
            "cores": cores,
        },
    })
}

/// The processor's name where the system tells it in a file.
fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = told.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or("unknown", |(_, name)| name.trim()).to_string()
}

/// The commit of the working directory, as git or the environment tells it.
fn commit() -> String {
    if let Some(commit) = std::env::var("EQUILENS_COMMIT")
        .ok()
        .filter(|c| !c.is_empty())
    {
        return commit;
    }
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    match git {
        Ok(told) if told.status.success() => {
            String::from_utf8_lossy(&told.stdout).trim().to_string()
        }
        _ => "unknown".into(),
    }
}

/// The UTC date `YYYY-MM-DD` of a Unix time (Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
fn date(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_instants() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(951_868_800), "2000-03-01");
        assert_eq!(date(1_735_689_599), "2024-12-31");
    }
}
