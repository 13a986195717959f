//! How [`super::ensure`] goes about it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Options of [`super::ensure`].
#[derive(Clone, Debug)]
pub struct EnsureOptions {
    /// Give up after this long, and say what was found; a build that runs is left to the server.
    /// `None`: never.
    pub timeout: Option<Duration>,
    /// Wait where somebody else builds; else end at once with [`super::EnsureError::Held`].
    pub wait: bool,
    /// Build again what has failed for good.
    pub retry: bool,
    /// How often this caller tries what might go well another time, at least 1. Three: the first
    /// one, one that was cancelled or found no space, and one more.
    pub attempts_max: u32,
    /// How long the first connection may take: a service may be started beside its database.
    pub connect_max: Duration,
    /// How long a lost connection is tried again: a server that was restarted recovers first.
    pub reconnect_max: Duration,
    /// Time between two looks.
    pub look_every: Duration,
    /// Set by the first signal: what was begun is cancelled and taken back.
    pub cancel: Arc<AtomicBool>,
}

impl Default for EnsureOptions {
    fn default() -> Self {
        Self {
            timeout: None,
            wait: true,
            retry: false,
            attempts_max: 3,
            connect_max: Duration::from_secs(10),
            reconnect_max: Duration::from_mins(2),
            look_every: Duration::from_millis(200),
            cancel: Arc::default(),
        }
    }
}
