//! The signal that stops a listener and its connections.

use tokio::sync::watch;

/// Waits until the listener stops. It also stops when its server is dropped, which closes the channel.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
