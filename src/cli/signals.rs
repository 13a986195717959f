//! SIGINT and SIGTERM: the first ends the job after its batch, the second at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::{Failure, exit};

/// A flag that the first signal sets. Every transaction is atomic, so that the second signal, which
/// ends the process, leaves a resumable state too.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn cancel_flag() -> Result<Arc<AtomicBool>, Failure> {
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order, the first signal finds the flag unset.
        flag::register_conditional_shutdown(signal, i32::from(exit::RESUMABLE), cancel.clone())
            .and_then(|_| flag::register(signal, cancel.clone()))
            .map_err(|error| {
                Failure::new(exit::FAILED, format!("cannot handle signals: {error}"))
            })?;
    }
    Ok(cancel)
}
