//! Connections: the URL, encryption, sessions and what they set for themselves. Knows nothing of
//! indexes.

mod server;
mod session;
pub mod settings;
mod target;
mod tls;

pub use server::Server;
pub use session::{Link, Session, Started, cell};
pub use target::Target;
