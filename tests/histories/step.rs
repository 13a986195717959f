//! What may happen in a history, and a generator of histories from a seed.

use dotfill::state::Mode;

use super::form::{ELEMENTS, Form, KEYS, TEXTS};

/// The replicas: a region and an edge at the new version, a device with a new client, and one whose
/// client is old and which dotfill has not run on.
pub const REPLICAS: usize = 4;
pub const OLD_CLIENT: usize = 3;

/// How an old client writes a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Update,
    Upsert,
    Replace,
}

/// One step; `at` is a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An old client writes the whole set of an object, by its text; none is NULL.
    Write { at: usize, object: usize, text: Option<usize>, way: Way },
    /// Somebody deletes an object.
    Delete { at: usize, object: usize },
    /// Somebody makes an object, without a set.
    Make { at: usize, object: usize },
    /// Somebody gives an object another key.
    Rekey { at: usize, object: usize, to: usize },
    /// Somebody writes another column.
    Rename { at: usize, object: usize },
    /// A new client adds an element: to the new form where it may, and to the old one where it must;
    /// a careless one leaves the old form out.
    Add { at: usize, object: usize, element: usize, careless: bool },
    /// A new client removes an element.
    Remove { at: usize, object: usize, element: usize, careless: bool },
    /// One replica sends to another what it has.
    Send { from: usize, to: usize },
    /// What a replica would send now is kept.
    Keep { at: usize },
    /// Something that was kept arrives, late, again, or at its own sender.
    Arrive { kept: usize, to: usize },
    /// A backfill, or what follows it; one that is interrupted after so many commits.
    Run { at: usize, commits: Option<u64> },
    /// A step forward, where its gate holds; of an epoch, for so many percent.
    Advance { at: usize, percent: Option<u8>, after_sync: bool },
    /// The way back, by so many modes.
    Back { at: usize, modes: usize },
    /// An operator decides a write that waits in quarantine.
    Decide { at: usize, nth: usize, replay: bool },
}

/// How far a replica is when a history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Unknown,
    Open,
    Both,
    /// The epoch of so many percent is closed.
    Share,
    Closed,
}

impl Stage {
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Open, Self::Both, Self::Share, Self::Closed];
    /// The share of [`Self::Share`].
    pub const PERCENT: u8 = 60;
}

/// A history, whole: printed, it can be pasted as a regression test.
#[derive(Clone, Debug)]
pub struct History {
    pub form: Form,
    pub policy: &'static str,
    pub stages: [Stage; REPLICAS],
    pub steps: Vec<Step>,
    /// The old form is removed in the end, where all replicas allow it.
    pub compact: bool,
    /// Decides what an operator decides in the end, and whether the old client is upgraded.
    pub whim: usize,
}

/// A small generator of numbers that are the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn percent(&mut self) -> u8 {
        1 + self.below(100).to_le_bytes()[0]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// How long histories are, and how often their steps are costly; one in so many is three times as long.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub steps: usize,
    /// Of a hundred steps, so many run dotfill.
    pub jobs: usize,
    pub long: usize,
}

impl History {
    /// The history of a seed.
    pub fn new(seed: u64, shape: Shape) -> Self {
        let mut dice = Dice::new(seed);
        let form = dice.pick(&Form::ALL);
        let policy = dice.pick(&["reject", "translate", "quarantine"]);
        let stage = dice.pick(&Stage::ALL);
        let mut stages = [stage; REPLICAS];
        for stage in &mut stages {
            if dice.one_in(4) {
                *stage = dice.pick(&Stage::ALL);
            }
        }
        stages[OLD_CLIENT] = Stage::Unknown;
        let mut draw = Draw { dice, form, shape, kept: 0, offline: None };
        let times = if draw.dice.one_in(shape.long) { 3 } else { 1 };
        let count = (shape.steps / 2 + draw.dice.below(shape.steps)) * times;
        let steps = (0..count).map(|_| draw.step()).collect();
        let (compact, whim) = (draw.dice.one_in(12), draw.dice.below(84));
        Self { form, policy, stages, steps, compact, whim }
    }
}

/// Draws steps.
struct Draw {
    dice: Dice,
    form: Form,
    shape: Shape,
    kept: usize,
    /// Who is offline, and for how many steps.
    offline: Option<(usize, usize)>,
}

impl Draw {
    fn step(&mut self) -> Step {
        self.offline = match self.offline {
            Some((at, steps)) if steps > 0 => Some((at, steps - 1)),
            _ if self.dice.one_in(8) => {
                Some((self.dice.below(REPLICAS), self.dice.below(self.shape.steps)))
            }
            _ => None,
        };
        if self.dice.below(100) < self.shape.jobs { self.job() } else { self.write() }
    }

    /// Who is online, or anybody where that is nobody.
    fn online(&mut self) -> usize {
        let at = self.dice.below(REPLICAS);
        match self.offline {
            Some((offline, _)) if offline == at => (at + 1) % REPLICAS,
            _ => at,
        }
    }

    fn pair(&mut self) -> (usize, usize) {
        let from = self.online();
        let mut to = self.online();
        if to == from {
            to = (from + 1) % REPLICAS;
        }
        if self.offline.is_some_and(|(offline, _)| offline == to) {
            to = (to + 1) % REPLICAS;
        }
        (from, if to == from { (to + 1) % REPLICAS } else { to })
    }

    fn write(&mut self) -> Step {
        let (at, object) = (self.dice.below(REPLICAS), self.dice.below(KEYS - 1));
        let element = self.dice.below(ELEMENTS.len());
        let careless = self.dice.one_in(6);
        match self.dice.below(22) {
            0..6 => Step::Write { at, object, text: self.text(), way: self.way() },
            6 => Step::Delete { at, object },
            7 => Step::Make { at, object: self.dice.below(KEYS) },
            8 if self.form != Form::Rows => Step::Rekey { at, object, to: self.dice.below(KEYS) },
            8 => Step::Rename { at, object },
            9 | 10 => Step::Add { at: self.dice.below(OLD_CLIENT), object, element, careless },
            11..14 => Step::Remove { at: self.dice.below(OLD_CLIENT), object, element, careless },
            14 => {
                self.kept += 1;
                Step::Keep { at: self.dice.pick(&[at, OLD_CLIENT]) }
            }
            15 | 16 if self.kept > 0 => {
                Step::Arrive { kept: self.dice.below(self.kept), to: self.online() }
            }
            _ => {
                let (from, to) = self.pair();
                Step::Send { from, to }
            }
        }
    }

    fn text(&mut self) -> Option<usize> {
        match self.dice.below(12) {
            0 => None,
            1 => Some(0),
            2 => Some(16 + self.dice.below(TEXTS - 16)),
            _ => Some(self.dice.below(16)),
        }
    }

    fn way(&mut self) -> Way {
        self.dice.pick(&[Way::Update, Way::Update, Way::Upsert, Way::Replace])
    }

    fn job(&mut self) -> Step {
        let at = self.dice.below(OLD_CLIENT);
        match self.dice.below(12) {
            0..4 => {
                let commits = self.dice.one_in(4).then(|| 1 + self.dice.below(6) as u64);
                let at = if self.dice.one_in(8) { OLD_CLIENT } else { at };
                Step::Run { at, commits }
            }
            4..8 => {
                let percent = self.dice.one_in(3).then(|| self.dice.percent());
                Step::Advance { at, percent, after_sync: self.dice.one_in(2) }
            }
            8 | 9 => Step::Back { at, modes: 1 + self.dice.below(3) },
            _ => {
                let replay = self.dice.one_in(2);
                Step::Decide { at, nth: self.dice.below(3), replay }
            }
        }
    }
}

/// The mode that comes next.
pub fn next_mode(mode: Mode) -> Option<Mode> {
    let at = place(mode);
    Mode::ALL.get(at + 1).copied().filter(|next| *next != Mode::CompactOld)
}

/// The mode so many steps back.
pub fn mode_before(mode: Mode, modes: usize) -> Mode {
    Mode::ALL[place(mode).saturating_sub(modes)]
}

fn place(mode: Mode) -> usize {
    Mode::ALL.into_iter().position(|m| m == mode).unwrap()
}
