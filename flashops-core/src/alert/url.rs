use std::fmt;

/// Where a webhook is. Whoever knows it can write there, so nothing shows it.
///
/// ```
/// use flashops_core::alert::WebhookUrl;
///
/// let url = WebhookUrl::new("https://hooks.slack.com/services/T0/B0/secret").expect("it is one");
/// assert_eq!(format!("{url:?}"), "WebhookUrl(..)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Box<str>);

impl WebhookUrl {
    /// The longest, in bytes.
    pub const MAX: usize = 2_048;

    /// A URL of HTTP or HTTPS with a host, and without credentials or a fragment; white space around it is dropped.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let host = rest.split(['/', '?']).next()?;
        let fits = text.len() <= Self::MAX && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        (fits && !host.is_empty() && !host.contains('@')).then(|| Self(text.into()))
    }

    /// The URL itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookUrl(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_a_url_with_a_host_and_nothing_that_would_not_be_sent() {
        for good in ["https://hooks.slack.com/services/T0/B0/x", " http://alertmanager:9093\n", "http://[::1]:1/a?b=c"]
        {
            assert_eq!(WebhookUrl::new(good).map(|url| url.expose().to_owned()), Some(good.trim().to_owned()));
        }
        let long = format!("https://a/{}", "b".repeat(WebhookUrl::MAX));
        for bad in [
            "",
            "hooks.slack.com",
            "https://",
            "https:///a",
            "ftp://a",
            "https://u:p@a/",
            "https://a b",
            "https://a/#x",
            "https://a/ü",
            &long,
        ] {
            assert_eq!(WebhookUrl::new(bad), None, "{bad}");
        }
    }
}
