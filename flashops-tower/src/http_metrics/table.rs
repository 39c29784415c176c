use std::iter::repeat_with;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flashops_core::limit::{RouteError, RoutePatterns};
use metrics::{Gauge, Histogram, Unit};

use super::names::{HttpNames, OTHER};

/// The most routes that have a label of their own.
pub const MAX_ROUTES: usize = 256;

/// The most pairs of method and status that have labels of their own on one route.
pub const MAX_SERIES_OF_ROUTE: usize = 64;

/// The handles of all series that were seen so far.
#[derive(Debug)]
pub(super) struct Table {
    names: HttpNames,
    /// Templates by pattern, the first that matches counts.
    patterns: Vec<(RoutePatterns, String)>,
    routes: Slots<Route>,
    other: Route,
    in_flight: OnceLock<Gauge>,
}

/// One route.
#[derive(Debug)]
pub(super) struct Route {
    label: Arc<str>,
    series: Slots<Series>,
    /// What is beyond the bound.
    rest: OnceLock<Histogram>,
}

#[derive(Debug)]
struct Series {
    method: &'static str,
    status: u16,
    histogram: Histogram,
}

impl Table {
    pub(super) fn new(names: HttpNames) -> Self {
        Self {
            names,
            patterns: Vec::new(),
            routes: Slots::new(MAX_ROUTES),
            other: Route::new(OTHER),
            in_flight: OnceLock::new(),
        }
    }

    /// The same, with other names, and nothing seen.
    pub(super) fn with_names(self: &Arc<Self>, names: HttpNames) -> Self {
        Self { patterns: self.patterns.clone(), ..Self::new(names) }
    }

    /// The same, with more templates, and nothing seen.
    pub(super) fn with_routes<I>(self: &Arc<Self>, templates: I) -> Result<Self, RouteError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut patterns = self.patterns.clone();
        for template in templates {
            let template = template.as_ref();
            patterns.push((RoutePatterns::new([template])?, template.to_owned()));
        }
        Ok(Self { patterns, ..Self::new(self.names) })
    }

    /// The place of a route: by the template that a router found, else by the path.
    pub(super) fn route(&self, template: Option<&str>, path: &str) -> Place {
        let by_path = || self.patterns.iter().find(|(pattern, _)| pattern.contains(path)).map(|(_, label)| &**label);
        let Some(label) = template.or_else(by_path) else { return Place::OTHER };
        self.routes.find_or_add(|route| *route.label == *label, || Route::new(label)).unwrap_or(Place::OTHER)
    }

    /// Counts a request that has ended. Without a response the status is 0.
    pub(super) fn record(&self, place: Place, method: &'static str, status: u16, duration: Duration) {
        let route = self.routes.get(place).unwrap_or(&self.other);
        let is_meant = |series: &Series| series.method == method && series.status == status;
        let make = || Series { method, status, histogram: self.histogram(method, &route.label, &text(status)) };
        let place = route.series.find_or_add(is_meant, make);
        let histogram = match place.and_then(|place| route.series.get(place)) {
            Some(series) => &series.histogram,
            None => route.rest.get_or_init(|| self.histogram(OTHER, &route.label, OTHER)),
        };
        histogram.record(duration.as_secs_f64());
    }

    /// The gauge of requests under way.
    pub(super) fn in_flight(&self) -> &Gauge {
        self.in_flight.get_or_init(|| {
            let HttpNames { duration, in_flight, .. } = self.names;
            metrics::describe_histogram!(duration, Unit::Seconds, "Time from the request to the end of its response.");
            metrics::describe_gauge!(in_flight, Unit::Count, "Requests whose response has not ended.");
            metrics::gauge!(in_flight)
        })
    }

    fn histogram(&self, method: &'static str, route: &str, status: &str) -> Histogram {
        let names = self.names;
        let (route, status) = (route.to_owned(), status.to_owned());
        metrics::histogram!(names.duration, names.method => method, names.route => route, names.status => status)
    }
}

impl Route {
    fn new(label: &str) -> Self {
        Self { label: label.into(), series: Slots::new(MAX_SERIES_OF_ROUTE), rest: OnceLock::new() }
    }
}

fn text(status: u16) -> String {
    if status == 0 { "none".to_owned() } else { status.to_string() }
}

/// A place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Place {
    /// No place in any list.
    const OTHER: Self = Self(usize::MAX);
}

/// A list that only grows, up to a bound, and is read without a lock.
#[derive(Debug)]
struct Slots<T>(Box<[OnceLock<T>]>);

impl<T> Slots<T> {
    fn new(most: usize) -> Self {
        Self(repeat_with(OnceLock::new).take(most).collect())
    }

    fn get(&self, place: Place) -> Option<&T> {
        self.0.get(place.0)?.get()
    }

    /// Where the item is that is meant, added if there is none; `None` if there is no room for it.
    fn find_or_add(&self, is_meant: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Option<Place> {
        let mut make = Some(make);
        // Who fills a place that is free comes first; the others look at what is there then.
        self.0
            .iter()
            .position(|slot| match slot.get() {
                Some(item) => is_meant(item),
                None => is_meant(slot.get_or_init(|| make.take().expect("what was made is what is meant")())),
            })
            .map(Place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_one_place_and_beyond_the_bound_there_is_none() {
        let slots = Slots::new(2);
        let place = |item: u8| slots.find_or_add(|there| *there == item, || item).map(|place| place.0);
        assert_eq!([place(7), place(8), place(7), place(9), place(8)], [Some(0), Some(1), Some(0), None, Some(1)]);
    }

    #[test]
    fn threads_that_add_at_once_agree_on_the_places() {
        for _ in 0..50 {
            let slots = Slots::new(64);
            let places = || (0..64).map(|item| slots.find_or_add(|there| *there == item, || item)).collect::<Vec<_>>();
            std::thread::scope(|scope| {
                let others = [scope.spawn(places), scope.spawn(places)];
                let own = places();
                assert!(own.iter().all(Option::is_some), "{own:?}");
                for other in others {
                    assert_eq!(other.join().unwrap(), own);
                }
            });
        }
    }
}
