use http::HeaderMap;
use http::header::ACCEPT;

/// The shape of an error body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// As `OpenAI` writes them: `{"error": {"message", "type", "param", "code"}}`.
    OpenAi,
    /// As Anthropic writes them: `{"type": "error", "error": {"type", "message"}, "request_id"}`.
    Anthropic,
    /// Problem details, RFC 9457: `application/problem+json`.
    Problem,
}

impl Dialect {
    /// The dialect in which a request is answered: the one that its route is configured with, else problem details
    /// if the client accepts them by name, else the one of the path, else problem details.
    pub fn of(path: &str, headers: &HeaderMap, configured: Option<Self>) -> Self {
        match configured {
            Some(dialect) => dialect,
            None if accepts_problems(headers) => Self::Problem,
            None => Self::of_path(path).unwrap_or(Self::Problem),
        }
    }

    /// The dialect of a path, mounted anywhere: Anthropic at and below `/v1/messages`, `OpenAI` at and below
    /// `/v1/chat/completions`, `/v1/completions`, `/v1/responses`, `/v1/embeddings`, `/v1/images`, `/v1/audio`,
    /// `/v1/videos`, `/v1/batches` and `/v1/fine_tuning`. `path` has no query.
    pub fn of_path(path: &str) -> Option<Self> {
        const ROUTES: [(&str, Dialect); 10] = [
            ("messages", Dialect::Anthropic),
            ("chat/completions", Dialect::OpenAi),
            ("completions", Dialect::OpenAi),
            ("responses", Dialect::OpenAi),
            ("embeddings", Dialect::OpenAi),
            ("images", Dialect::OpenAi),
            ("audio", Dialect::OpenAi),
            ("videos", Dialect::OpenAi),
            ("batches", Dialect::OpenAi),
            ("fine_tuning", Dialect::OpenAi),
        ];
        path.match_indices("/v1").find_map(|(at, version)| {
            let rest = path[at + version.len()..].strip_prefix('/')?;
            let leads = |route| rest.strip_prefix(route).is_some_and(|tail| tail.is_empty() || tail.starts_with('/'));
            ROUTES.iter().find(|(route, _)| leads(*route)).map(|&(_, dialect)| dialect)
        })
    }

    /// The media type of a body in this dialect.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Anthropic => "application/json",
            Self::Problem => "application/problem+json",
        }
    }
}

fn accepts_problems(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/problem+json"))
                && !parts.any(excludes)
        })
    })
}

/// Whether a parameter is a quality of zero, by which a client says that it does not accept a type.
fn excludes(parameter: &str) -> bool {
    let quality = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    quality.is_some_and(|q| q.starts_with('0') && q.bytes().all(|b| matches!(b, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with_accept(path: &str, accept: &[&str]) -> Dialect {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        Dialect::of(path, &headers, None)
    }

    #[test]
    fn what_the_route_is_configured_with_comes_before_what_the_client_accepts() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/problem+json"));
        assert_eq!(Dialect::of("/v1/messages", &headers, Some(Dialect::OpenAi)), Dialect::OpenAi);
        assert_eq!(Dialect::of("/v1/messages", &headers, None), Dialect::Problem);
    }

    #[test]
    fn a_client_asks_for_problems_by_their_name_and_not_by_a_wildcard() {
        for asks in [
            &["application/problem+json"][..],
            &["application/json, Application/Problem+JSON;q=0.5"],
            &["text/html", "application/problem+json; q=1"],
        ] {
            assert_eq!(with_accept("/v1/messages", asks), Dialect::Problem, "{asks:?}");
        }
        for does_not in [
            &["*/*"][..],
            &["application/json"],
            &["application/*"],
            &["application/problem+json;q=0"],
            &["application/problem+json; q=0.000"],
            &["application/problem+jsonx"],
        ] {
            assert_eq!(with_accept("/v1/messages", does_not), Dialect::Anthropic, "{does_not:?}");
        }
    }

    #[test]
    fn a_path_has_the_dialect_of_its_provider_wherever_it_is_mounted() {
        for (path, dialect) in [
            ("/v1/messages", Some(Dialect::Anthropic)),
            ("/v1/messages/count_tokens", Some(Dialect::Anthropic)),
            ("/proxy/v1/v1/messages/", Some(Dialect::Anthropic)),
            ("/v1/chat/completions", Some(Dialect::OpenAi)),
            ("/v1/completions", Some(Dialect::OpenAi)),
            ("/team/v1/responses/resp_1", Some(Dialect::OpenAi)),
            ("/v1/embeddings", Some(Dialect::OpenAi)),
            ("/v1/messagesx", None),
            ("/v1/threads/t/messages", None),
            ("/v10/messages", None),
            ("/v1/", None),
            ("", None),
        ] {
            assert_eq!(Dialect::of_path(path), dialect, "{path}");
        }
        assert_eq!(with_accept("/pets", &[]), Dialect::Problem);
    }
}
