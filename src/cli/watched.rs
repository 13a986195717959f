//! A source that is read while somebody watches for a signal: a read that waits for input ends when
//! the signal comes.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How much is read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that are read ahead.
const CHUNKS_AHEAD: usize = 2;
/// Time between two looks at the flag.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Reads from a source that a thread of its own waits for. The thread ends with the source, with
/// the process, or at its next chunk once this is dropped.
pub struct Watched {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    passed: usize,
    cancel: Arc<AtomicBool>,
}

impl Watched {
    /// Begins to read.
    pub fn new(source: impl Read + Send + 'static, cancel: &Arc<AtomicBool>) -> Self {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        std::thread::spawn(move || pump(source, &sender));
        Self { chunks, chunk: Vec::new(), passed: 0, cancel: Arc::clone(cancel) }
    }

    /// The next chunk; empty at the end of the source.
    fn next(&self) -> io::Result<Vec<u8>> {
        loop {
            match self.chunks.recv_timeout(LOOK_EVERY) {
                Ok(chunk) => return chunk,
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
                Err(RecvTimeoutError::Timeout) if self.cancel.load(Ordering::Relaxed) => {
                    return Err(io::Error::other("interrupted by a signal"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

fn pump(mut source: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match source.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let last = !matches!(read, Ok(n) if n > 0);
        let sent = sender.send(read.map(|n| {
            chunk.truncate(n);
            chunk
        }));
        if last || sent.is_err() {
            return;
        }
    }
}

impl Read for Watched {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.passed == self.chunk.len() {
            self.chunk = self.next()?;
            self.passed = 0;
        }
        let n = into.len().min(self.chunk.len() - self.passed);
        into[..n].copy_from_slice(&self.chunk[self.passed..self.passed + n]);
        self.passed += n;
        Ok(n)
    }
}
