//! The text format of Prometheus, read strictly, for tests of what is exported.
//!
//! ```
//! use flashops_testkit::exposition::series;
//!
//! let text = "# HELP cats_total Cats seen.\n# TYPE cats_total counter\ncats_total{colour=\"red\"} 3\n";
//! assert_eq!(series(text)?[r#"cats_total{colour="red"}"#], 3.0);
//! assert!(series("cats_total 3\n").is_err(), "nobody said what that is");
//! # Ok::<(), String>(())
//! ```
//!
//! Edge cases: refused are samples without `HELP` and `TYPE` before them, counters whose name does not end with
//! `_total`, a sample that stands twice, histograms whose buckets are not cumulative or do not end with `+Inf`, names
//! and labels with letters that they may not have, and summaries.
//!
//! What this module does not do: read timestamps or exemplars. `promtool check metrics` is the judge of the whole
//! format; this says what the numbers are.

use std::collections::{BTreeMap, HashMap};

/// Every sample of a page, by name and labels as they are written.
///
/// # Errors
///
/// The first line that is wrong, and why.
pub fn series(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let (mut helped, mut types, mut samples) = (HashMap::new(), HashMap::new(), BTreeMap::new());
    let mut bucket: Option<(String, f64, f64)> = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').ok_or_else(|| wrong("no help"))?;
            helped.insert(name, text);
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').ok_or_else(|| wrong("no type"))?;
            check_family(name, kind).map_err(|why| wrong(&why))?;
            if !helped.contains_key(name) || types.insert(name, kind).is_some() {
                return Err(wrong("a type without help, or twice"));
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').ok_or_else(|| wrong("no value"))?;
        let value: f64 = value.parse().map_err(|_| wrong("no number"))?;
        let (family, labels) = name.split_once('{').unwrap_or((name, "}"));
        check_labels(labels).map_err(|why| wrong(&why))?;
        let parts = ["", "_bucket", "_sum", "_count"];
        let kind = parts.iter().find_map(|part| types.get(family.strip_suffix(part)?));
        let kind = kind.ok_or_else(|| wrong("nobody said what that is"))?;
        if *kind == "histogram" && family.ends_with("_bucket") {
            bucket = Some(next_bucket(name, value, bucket.take()).map_err(|why| wrong(&why))?);
        } else if let Some((_, bound, _)) = bucket.take()
            && bound.is_finite()
        {
            return Err(wrong("buckets that do not end with +Inf"));
        }
        if samples.insert(name.to_owned(), value).is_some() {
            return Err(wrong("it stands twice"));
        }
    }
    Ok(samples)
}

fn check_family(name: &str, kind: &str) -> Result<(), String> {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("no name".to_owned());
    }
    match kind {
        "counter" if !name.ends_with("_total") => Err("a counter without _total".to_owned()),
        "counter" | "gauge" | "histogram" => Ok(()),
        _ => Err("another type".to_owned()),
    }
}

/// Labels as they stand behind the first brace.
fn check_labels(text: &str) -> Result<(), String> {
    let mut rest = text;
    while rest != "}" {
        let (name, value) = rest.split_once("=\"").ok_or("no label")?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("{name:?} is no label"));
        }
        let mut escaped = false;
        let end = value.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        rest = &value[end.ok_or("a label without an end")? + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Ok(())
}

/// The series of a bucket without its bound, the bound and the count, after those before.
fn next_bucket(name: &str, count: f64, before: Option<(String, f64, f64)>) -> Result<(String, f64, f64), String> {
    let (series, bound) = name.rsplit_once("le=\"").ok_or("a bucket without a bound")?;
    let bound: f64 = bound.trim_end_matches("\"}").parse().map_err(|_| "a bound that is no number")?;
    let goes_on = match before {
        Some((last, least, counted)) if last == series => bound > least && count >= counted,
        Some((_, last, _)) => last.is_infinite(),
        None => true,
    };
    if !goes_on {
        return Err("buckets that are not cumulative, or do not end with +Inf".to_owned());
    }
    Ok((series.to_owned(), bound, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# HELP h_seconds Times.\n# TYPE h_seconds histogram\n";

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_everything() {
        let page = |buckets: &[(&str, u64)]| {
            let line = |(bound, count): &(&str, u64)| format!("h_seconds_bucket{{a=\"b\",le=\"{bound}\"}} {count}\n");
            format!("{HEAD}{}h_seconds_sum 3\n", buckets.iter().map(line).collect::<String>())
        };
        assert_eq!(series(&page(&[("1", 2), ("2", 2), ("+Inf", 3)])).unwrap().len(), 4);
        for wrong in [&[("1", 2), ("2", 1), ("+Inf", 3)][..], &[("2", 1), ("1", 2), ("+Inf", 3)], &[("1", 2)]] {
            assert!(series(&page(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_the_format_forbids_is_refused() {
        let gauge = "# HELP g Some.\n# TYPE g gauge\n";
        assert!(series(&format!("{gauge}g{{a=\"b\\\"}}\",c=\"\\\\\"}} 1\n")).is_ok());
        for wrong in ["g{a=\"b} 1\n", "g{a-b=\"c\"} 1\n", "g 1\ng 2\n", "g one\n", "f 1\n", "# TYPE g gauge\n"] {
            assert!(series(&format!("{gauge}{wrong}")).is_err(), "{wrong}");
        }
        for wrong in ["# HELP c Some.\n# TYPE c counter\n", "# HELP c Some.\n# TYPE c summary\n", "# TYPE c gauge\n"] {
            assert!(series(wrong).is_err(), "{wrong}");
        }
    }
}
