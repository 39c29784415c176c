use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_DNS_PREFETCH_CONTROL, X_FRAME_OPTIONS,
};

/// A header, and what it says.
pub(super) type Pair = (HeaderName, HeaderValue);

/// Two years, as the lists for preloading want it.
pub(super) const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000; includeSubDomains");

const PERMISSIONS: &str = "accelerometer=(), autoplay=(), camera=(), cross-origin-isolated=(), display-capture=(), \
    encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), keyboard-map=(), magnetometer=(), microphone=(), \
    midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), sync-xhr=(self), \
    usb=(), web-share=(), xr-spatial-tracking=(), clipboard-read=(), clipboard-write=(), gamepad=(), hid=(), \
    idle-detection=(), interest-cohort=(), serial=(), unload=()";

const HTML_CONTENT: &str = "default-src 'self'; form-action 'self'; base-uri 'self'; object-src 'none'; \
    frame-ancestors 'none'; upgrade-insecure-requests";

const fn pair(name: &'static str, value: &'static str) -> Pair {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

/// What both presets have.
fn common() -> [Pair; 5] {
    [
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("deny")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        pair("permissions-policy", PERMISSIONS),
        pair("cross-origin-resource-policy", "same-origin"),
    ]
}

pub(super) fn api() -> Vec<Pair> {
    let content = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    let own = [(CONTENT_SECURITY_POLICY, content), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    common().into_iter().chain(own).collect()
}

pub(super) fn html() -> Vec<Pair> {
    let own = [
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(HTML_CONTENT)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store, max-age=0")),
        (X_DNS_PREFETCH_CONTROL, HeaderValue::from_static("off")),
        pair("cross-origin-opener-policy", "same-origin"),
        pair("cross-origin-embedder-policy", "require-corp"),
        pair("x-permitted-cross-domain-policies", "none"),
    ];
    common().into_iter().chain(own).collect()
}
