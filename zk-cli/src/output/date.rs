//! Times as Java's `Date.toString` writes them, in UTC.

use jiff::Timestamp;

/// Writes milliseconds since the Unix epoch: `Thu Jan 01 00:00:00 UTC 1970`. What is beyond the year
/// 9999 stays a number.
pub(crate) fn format_date(unix_ms: i64) -> String {
    match Timestamp::from_millisecond(unix_ms) {
        Ok(time) => time.strftime("%a %b %d %H:%M:%S UTC %Y").to_string(),
        Err(_) => format!("{unix_ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::format_date;

    #[test]
    fn dates_are_those_of_java() {
        for (unix_ms, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_709_210_096_789, "Thu Feb 29 12:34:56 UTC 2024"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
            (i64::MAX, "9223372036854775807 ms"),
            (i64::MIN, "-9223372036854775808 ms"),
        ] {
            assert_eq!(format_date(unix_ms), text);
        }
    }
}
