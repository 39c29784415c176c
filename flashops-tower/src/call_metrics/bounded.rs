use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::http_metrics::OTHER;

/// Items by label, up to a bound. What comes beyond shares the item of `other`.
pub(super) struct Bounded<T> {
    most: usize,
    items: RwLock<HashMap<Arc<str>, Arc<T>>>,
}

impl<T> Bounded<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, items: RwLock::default() }
    }

    /// The item of a label, made if there is none.
    pub(super) fn get(&self, label: &str, make: impl FnOnce(&Arc<str>) -> T) -> Arc<T> {
        {
            let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
            let others = || items.get(OTHER).filter(|_| items.len() > self.most);
            if let Some(item) = items.get(label).or_else(others) {
                return Arc::clone(item);
            }
        }
        let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
        let labelled = items.len() - usize::from(items.contains_key(OTHER));
        let label: Arc<str> = match items.contains_key(label) || labelled < self.most {
            true => label.into(),
            false => OTHER.into(),
        };
        let item = items.entry(label);
        let label = Arc::clone(item.key());
        Arc::clone(item.or_insert_with(|| Arc::new(make(&label))))
    }
}

impl<T> fmt::Debug for Bounded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_beyond_the_bound_share_one_item_and_those_before_keep_theirs() {
        let all = Bounded::new(2);
        let get = |label: &str| all.get(label, ToString::to_string).to_string();
        let got = ["a", "b", "c", "a", "d", "b", OTHER].map(get);
        assert_eq!(got, ["a", "b", OTHER, "a", OTHER, "b", OTHER]);
        assert_eq!(all.items.read().unwrap().len(), 3);
    }

    #[test]
    fn the_label_of_the_rest_takes_no_place() {
        let all = Bounded::new(2);
        let get = |label: &str| all.get(label, ToString::to_string).to_string();
        assert_eq!([OTHER, "a", "b", "c"].map(get), [OTHER, "a", "b", OTHER]);
    }
}
