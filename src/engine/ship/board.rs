//! What the job and the shipper tell each other: how far the fill has committed, what is wanted, and
//! what is durable. A few words under one lock: no row passes through here, the database is the queue.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::feed::Feed;
use crate::delta::ChainStats;
use crate::layout::Target;
use crate::scan::{Bound, Ownership};

/// How often the shipper looks whether it is to end while nothing changes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the job waits at a time.
const PAUSE: Duration = Duration::from_millis(5);

/// One change that is shipped, as the job knows it.
#[derive(Clone)]
pub(super) struct Work {
    pub target: Arc<Target>,
    pub ownership: Ownership,
    /// How far rows are filled, and the version of the schema for which that holds.
    pub bound: Option<(Bound, i64)>,
    /// Rows that were filled since the job began, about.
    pub passed: u64,
    /// Where the rows come that are proven beside the fill.
    pub feed: Option<Arc<Feed>>,
}

impl Work {
    fn is_enough(&self, rows: u64) -> bool {
        self.passed >= rows || matches!(self.bound, Some((Bound::End, _)))
    }
}

/// What the job wants next, once the walk over all changes is done.
pub(super) enum Order {
    /// Every key that is to be shipped again; the number of the order.
    Again(u64),
    /// A manifest with these facts.
    Finish(Vec<(&'static str, String)>),
    /// Nothing further.
    End,
}

/// What is durable, so that the job may forget it.
#[derive(Clone, Debug, Default)]
pub(super) struct Durable {
    pub ordinal: u32,
    pub digest: [u8; 32],
    /// By change, the id through which keys were shipped again.
    pub ids: Vec<Option<i64>>,
    /// Changes from the first one on whose walk is done.
    pub walked: usize,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct State {
    work: Vec<Option<Work>>,
    /// Rows of which the shipper wants to hear: it waits for them.
    rows_wanted: u64,
    again_wanted: u64,
    facts: Option<Vec<(&'static str, String)>>,
    ends: bool,
    again_done: u64,
    durable: Durable,
    /// True while the job has not heard of what is durable.
    is_news: bool,
    stats: ChainStats,
    is_finished: bool,
    is_gone: bool,
}

/// The board.
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

/// The job's side.
impl Board {
    pub(super) fn new(changes: usize, stats: ChainStats) -> Self {
        let begin = State { work: vec![None; changes], stats, ..State::default() };
        Self { state: Mutex::new(begin), changed: Condvar::new() }
    }

    fn tell(&self, tell: impl FnOnce(&mut State)) {
        tell(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// A change is ready to be read.
    pub(super) fn begin(&self, change: usize, work: Work) {
        self.tell(|state| state.work[change] = Some(work));
    }

    /// Rows of a change are filled as far as `bound`, `rows` more than before.
    pub(super) fn filled(&self, change: usize, bound: Option<Bound>, schema: i64, rows: u64) {
        let mut state = self.state.lock();
        let wanted = state.rows_wanted;
        let Some(work) = &mut state.work[change] else { return };
        work.bound = bound.map(|bound| (bound, schema));
        work.passed += rows;
        if work.is_enough(wanted) {
            self.changed.notify_all();
        }
    }

    /// A feed for the rows of a change, where they can be told without looking further.
    pub(super) fn feed(&self, change: usize) -> Option<Arc<Feed>> {
        let mut state = self.state.lock();
        let work = state.work[change].as_mut()?;
        let Ownership::Marks { nulls } = work.ownership else { return None };
        work.feed = Some(Arc::new(Feed::new(nulls)));
        work.feed.clone()
    }

    /// Has every key shipped again that is to be, by these ownerships; returns the order's number.
    pub(super) fn want_again(&self, ownerships: &[Option<Ownership>]) -> u64 {
        let mut number = 0;
        self.tell(|state| {
            for (work, ownership) in state.work.iter_mut().zip(ownerships) {
                if let (Some(work), Some(ownership)) = (work, ownership) {
                    work.ownership = *ownership;
                }
            }
            state.again_wanted += 1;
            number = state.again_wanted;
        });
        number
    }

    pub(super) fn is_done_again(&self, number: u64) -> bool {
        self.state.lock().again_done >= number
    }

    pub(super) fn want_manifest(&self, facts: Vec<(&'static str, String)>) {
        self.tell(|state| state.facts = Some(facts));
    }

    /// The shipper is to end.
    pub(super) fn end(&self) {
        self.tell(|state| state.ends = true);
    }

    /// Waits for news from the shipper, but not for long.
    pub(super) fn pause(&self) {
        self.changed.wait_for(&mut self.state.lock(), PAUSE);
    }

    /// Changes from the first one on whose walk is done.
    pub(super) fn walked(&self) -> usize {
        self.state.lock().durable.walked
    }

    /// What became durable since this was asked last.
    pub(super) fn take_durable(&self) -> Option<Durable> {
        let mut state = self.state.lock();
        std::mem::take(&mut state.is_news).then(|| state.durable.clone())
    }

    pub(super) fn stats(&self) -> ChainStats {
        self.state.lock().stats.clone()
    }

    /// True once the manifest is durable.
    pub(super) fn is_finished(&self) -> bool {
        self.state.lock().is_finished
    }

    /// True once the shipper has ended, for whatever reason.
    pub(super) fn is_gone(&self) -> bool {
        self.state.lock().is_gone
    }
}

/// The shipper's side.
impl Board {
    /// Waits until `look` finds something; `None` where the shipper is to end.
    fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if state.ends {
                return None;
            }
            if let Some(found) = look(&mut state) {
                return Some(found);
            }
            self.changed.wait_for(&mut state, LOOK_EVERY);
        }
    }

    /// A change, once it is ready.
    pub(super) fn wait_for_change(&self, change: usize) -> Option<Work> {
        self.wait(|state| state.work[change].clone())
    }

    /// How far a change is filled, once it is filled to its end or `passed` rows were.
    pub(super) fn wait_for_rows(&self, change: usize, passed: u64) -> Option<(Bound, i64, u64)> {
        self.wait(|state| {
            state.rows_wanted = passed;
            let work = state.work[change].as_ref().filter(|work| work.is_enough(passed))?;
            let (bound, schema) = work.bound.clone()?;
            Some((bound, schema, work.passed))
        })
    }

    /// The feed of a change, once.
    pub(super) fn take_feed(&self, change: usize) -> Option<Arc<Feed>> {
        self.state.lock().work[change].as_mut()?.feed.take()
    }

    /// The change as it is now.
    pub(super) fn change(&self, change: usize) -> Option<Work> {
        self.state.lock().work[change].clone()
    }

    /// What the job wants after the order with the number `done`.
    pub(super) fn wait_for_order(&self, done: u64) -> Order {
        let order = self.wait(|state| {
            if state.again_wanted > done {
                return Some(Order::Again(state.again_wanted));
            }
            state.facts.take().map(Order::Finish)
        });
        order.unwrap_or(Order::End)
    }

    /// Something is durable.
    pub(super) fn report(&self, stats: &ChainStats, tell: impl FnOnce(&mut Durable)) {
        self.tell(|state| {
            state.stats = stats.clone();
            tell(&mut state.durable);
            state.is_news = true;
        });
    }

    pub(super) fn done_again(&self, number: u64) {
        self.tell(|state| state.again_done = number);
    }

    pub(super) fn finished(&self, stats: ChainStats) {
        self.tell(|state| {
            state.stats = stats;
            state.is_finished = true;
        });
    }

    pub(super) fn gone(&self) {
        self.tell(|state| state.is_gone = true);
    }
}
