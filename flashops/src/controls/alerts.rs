use std::sync::Arc;

use flashops_core::alert::Alerts;
use flashops_core::clock::Moment;
use flashops_core::config::Config;
use flashops_core::limit::Policy;
use flashops_core::price::Prices;
use flashops_tower::alert::AlertLog;

/// What watches for alerts, and logs them where the configuration says so.
pub(super) fn alerts(config: &Config, policy: Arc<Policy>, prices: Prices, now: Moment) -> Arc<Alerts> {
    let options = config.alerts();
    let alerts = Alerts::new(policy, prices, &options.rules, now);
    if options.log {
        alerts.add_sink(AlertLog);
    }
    Arc::new(alerts)
}

#[cfg(feature = "tokio")]
mod webhooks {
    use bytes::Bytes;
    use flashops_core::config::AlertOptions;
    use flashops_core::store::Store;
    use flashops_tower::alert::{Delivery, Webhook, WebhookError, WebhookForm};
    use http::{Request, Response};
    use http_body::Body;
    use tower_service::Service;

    use crate::controls::Controls;

    impl<T: Store> Controls<T> {
        /// Delivers alerts to the webhooks of a configuration, through this client, on the runtime that this is called
        /// in, until what is returned is dropped or has finished.
        ///
        /// # Errors
        ///
        /// [`WebhookError`] if a URL is none that can be asked for.
        ///
        /// # Panics
        ///
        /// Outside of a tokio runtime, if there is a webhook.
        pub fn deliver_alerts<S, B, R>(&self, options: &AlertOptions, client: S) -> Result<Vec<Delivery>, WebhookError>
        where
            S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
            S::Future: Send,
            S::Error: Send,
            B: From<Bytes> + Send + 'static,
            R: Body<Data: Send, Error: Send> + Send + 'static,
        {
            let webhooks = [(WebhookForm::Alertmanager, &options.alertmanager), (WebhookForm::Slack, &options.slack)];
            let mut deliveries = Vec::new();
            for (form, url) in webhooks {
                let Some(url) = url else { continue };
                let (webhook, delivery) = Webhook::spawn(client.clone(), form, url, options.link.clone())?;
                self.alerts().add_sink(webhook);
                deliveries.push(delivery);
            }
            Ok(deliveries)
        }
    }
}
