//! How long ago something was, as kubectl users know it (apimachinery, util/duration, `HumanDuration`).

use k8s_openapi::jiff::Timestamp;

/// `5m`, `3h12m`, `17d`.
pub(super) fn age(created: Option<&str>, now: Timestamp) -> String {
    let Some(created) = created.and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "<unknown>".into();
    };
    text(now.as_second() - created.as_second())
}

fn text(seconds: i64) -> String {
    let two = |large: i64, one: &str, small: i64, other: &str| match small {
        0 => format!("{large}{one}"),
        _ => format!("{large}{one}{small}{other}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_as_kubectl_prints_them() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (600, "10m"),
            (3 * 3_600 - 1, "179m"),
            (3 * 3_600 + 60, "3h1m"),
            (47 * 3_600, "47h"),
            (48 * 3_600, "2d"),
            (3 * 86_400 + 3_600, "3d1h"),
            (100 * 86_400, "100d"),
            (1_000 * 86_400, "2y270d"),
            (10 * 365 * 86_400, "10y"),
        ] {
            assert_eq!(text(seconds), expected, "{seconds}");
        }
        assert_eq!(age(None, Timestamp::UNIX_EPOCH), "<unknown>");
        assert_eq!(age(Some("1970-01-01T00:00:00Z"), Timestamp::UNIX_EPOCH), "0s");
    }
}
