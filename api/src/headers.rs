//! Reading the request headers that decide how the API answers: `Prefer`
//! (RFC 7240), `Accept` and `Content-Type` (RFC 9110).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Header lines of `Prefer` and elements of `Accept` that are looked at.
const ELEMENTS_MAX: usize = 32;

/// `Prefer` (RFC 7240, section 2).
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");

/// `Preference-Applied` (RFC 7240, section 3).
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long a client is ready to wait for finality: `Prefer: wait=N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wait {
    seconds: Option<u64>,
}

impl Wait {
    /// Reads the first `wait` among the preferences (RFC 7240, section 2: the
    /// first of the same name counts), cut to `seconds_max`. What cannot be
    /// read is ignored, as a preference may be.
    pub(crate) fn of(headers: &HeaderMap, seconds_max: u64) -> Self {
        let seconds = headers
            .get_all(PREFER)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .take(ELEMENTS_MAX)
            .find_map(|preference| {
                let (name, value) = preference.split(';').next()?.split_once('=')?;
                name.trim().eq_ignore_ascii_case("wait").then(|| value.trim())
            })
            .map(|value| {
                value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
            })
            .filter(|value| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()))
            // So many digits that they overflow is a wish for the longest wait.
            .map(|value| value.parse().unwrap_or(u64::MAX).min(seconds_max));
        Self { seconds }
    }

    /// How long to wait; nothing when none was asked for.
    pub(crate) const fn duration(self) -> Duration {
        match self.seconds {
            Some(seconds) => Duration::from_secs(seconds),
            None => Duration::ZERO,
        }
    }

    /// The value of `Preference-Applied`, where a wait was asked for.
    pub(crate) fn applied(self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("wait={}", self.seconds?)).ok()
    }
}

/// The media type of the body in lower case, without parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

/// Which of `offered` the client likes best; the first when it does not say or
/// likes none (RFC 9110, section 12.5.1).
pub(crate) fn preferred<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Option<&'a str> {
    let elements: Vec<(String, f32)> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .take(ELEMENTS_MAX)
        .filter_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let range = parts.next()?.to_ascii_lowercase();
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(Some(1.0), |quality| quality.parse().ok())?;
            Some((range, quality))
        })
        .collect();
    let quality_of = |media_type: &str| {
        let kind = media_type.split('/').next().unwrap_or_default();
        // The most specific range decides.
        [media_type.to_owned(), format!("{kind}/*"), "*/*".to_owned()].iter().find_map(|range| {
            elements.iter().find(|(name, _)| name == range).map(|(_, quality)| *quality)
        })
    };
    let mut best: Option<(&'a str, f32)> = None;
    for media_type in offered {
        let quality = quality_of(media_type).unwrap_or(0.0);
        if quality > best.map_or(0.0, |(_, quality)| quality) {
            best = Some((media_type, quality));
        }
    }
    best.map(|(media_type, _)| media_type).or_else(|| offered.first().copied())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn wait(lines: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, line.parse().unwrap());
        }
        Wait::of(&headers, 60).seconds
    }

    #[test]
    fn preferences_are_read_as_rfc_7240_spells_them() {
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&["wait=10"]), Some(10));
        assert_eq!(wait(&["respond-async, Wait = \"7\" ; x=y"]), Some(7));
        assert_eq!(wait(&["return=minimal", "wait=5", "wait=6"]), Some(5));
        assert_eq!(wait(&["wait=0"]), Some(0));
    }

    #[test]
    fn a_wish_beyond_the_bound_is_cut_and_an_unreadable_one_ignored() {
        assert_eq!(wait(&["wait=99999999999999999999999"]), Some(60));
        for ignored in ["wait", "wait=", "wait=-1", "wait=1.5", "wait=ten", "waiting=3"] {
            assert_eq!(wait(&[ignored]), None, "{ignored}");
        }
    }

    #[test]
    fn the_best_liked_media_type_is_given() {
        let accept = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, text.parse().unwrap());
            preferred(&headers, &["application/json", "application/jose"]).unwrap()
        };
        assert_eq!(accept("*/*"), "application/json");
        assert_eq!(accept("application/jose"), "application/jose");
        assert_eq!(accept("application/json;q=0.1, application/jose;q=0.9"), "application/jose");
        assert_eq!(accept("application/*"), "application/json");
        assert_eq!(accept("text/html"), "application/json");
        assert_eq!(accept("application/jose;q=nonsense"), "application/json");
    }
}
