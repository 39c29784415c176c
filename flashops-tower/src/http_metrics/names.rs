use http::Method;

/// What the metrics of requests and their labels are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpNames {
    /// The histogram of durations, in seconds.
    pub duration: &'static str,
    /// The gauge of requests under way.
    pub in_flight: &'static str,
    /// The label with the method.
    pub method: &'static str,
    /// The label with the template of the route.
    pub route: &'static str,
    /// The label with the status.
    pub status: &'static str,
}

impl HttpNames {
    /// The short names, the default.
    pub const DOCUMENTED: Self = Self {
        duration: "http_request_duration_seconds",
        in_flight: "http_requests_in_flight",
        method: "method",
        route: "route",
        status: "status",
    };

    /// Those of OpenTelemetry's semantic conventions 1.44, as Prometheus spells them.
    pub const SEMCONV: Self = Self {
        duration: "http_server_request_duration_seconds",
        in_flight: "http_server_active_requests",
        method: "http_request_method",
        route: "http_route",
        status: "http_response_status_code",
    };
}

/// The value of a label in place of those that are not among the known ones, or beyond a bound.
pub const OTHER: &str = "other";

/// Upper bounds of buckets, in seconds: those that OpenTelemetry has for calls of models, and two more.
pub const DURATION_BUCKETS: [f64; 16] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68];

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"];

/// A method as a label.
pub(super) fn method(method: &Method) -> &'static str {
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_is_its_own_label_and_any_other_is_not() {
        for known in METHODS {
            assert_eq!(method(&Method::from_bytes(known.as_bytes()).unwrap()), known);
        }
        for unknown in ["BREW", "get", "PROPFIND"] {
            assert_eq!(method(&Method::from_bytes(unknown.as_bytes()).unwrap()), "_OTHER");
        }
    }
}
