//! What goes wrong by chance, from a seed: the same calls meet the same faults.

use super::Fault;

/// How often calls fail, in a million. A simulation draws them for each of its disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chances {
    /// Calls that read, and open or look for files: the device fails.
    pub read_error: u32,
    /// Calls that change content or length: the device fails.
    pub write_error: u32,
    /// Calls that sync a file or a directory: the device fails.
    pub sync_error: u32,
    /// Calls that make, rename and remove: the device fails.
    pub name_error: u32,
    /// Calls that take space: none is left.
    pub no_space: u32,
    /// Any call: the power goes.
    pub power_off: u32,
}

/// What a call does, for its chances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    /// A change of length that frees space, if it changes anything.
    Cut,
    Sync,
    Create,
    Name,
}

/// Chances, and the sequence that decides.
#[derive(Debug, Clone)]
pub(super) struct Luck {
    chances: Chances,
    random: Random,
}

impl Luck {
    pub(super) fn new(seed: u64, chances: Chances) -> Self {
        Self {
            chances,
            random: Random::new(seed),
        }
    }

    pub(super) fn fault(&mut self, kind: Kind) -> Option<Fault> {
        let Chances {
            read_error,
            write_error,
            sync_error,
            name_error,
            no_space,
            power_off,
        } = self.chances;
        let device_error = match kind {
            Kind::Read => read_error,
            Kind::Write | Kind::Cut => write_error,
            Kind::Sync => sync_error,
            Kind::Create | Kind::Name => name_error,
        };
        let takes_space = matches!(kind, Kind::Write | Kind::Create);
        let mut drawn = self.random.below(1_000_000);
        for (chance, fault) in [
            (power_off, Fault::PowerOff),
            (device_error, Fault::DeviceError),
            (if takes_space { no_space } else { 0 }, Fault::NoSpace),
        ] {
            match drawn.checked_sub(u64::from(chance)) {
                None => return Some(fault),
                Some(rest) => drawn = rest,
            }
        }
        None
    }
}

/// What a power cut leaves of the unsynced changes.
#[derive(Debug)]
pub(super) enum Survival {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// What came before a moment, in the order of the calls.
    Before(u64),
    /// Each change and each sector by itself, with this chance in a thousand.
    Each(u64, Random),
}

impl Survival {
    /// Draws one; `first` and `last` are the numbers of the oldest and of the newest change.
    pub(super) fn draw(seed: u64, first: u64, last: u64) -> Self {
        let mut random = Random::new(seed);
        match random.below(8) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 | 3 => Self::Before(first + random.below((last + 1).saturating_sub(first) + 1)),
            4 => Self::Each(50, random),
            5 => Self::Each(950, random),
            _ => Self::Each(500, random),
        }
    }

    pub(super) fn keeps(&mut self, number: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Before(moment) => number < *moment,
            Self::Each(chance, random) => random.below(1000) < *chance,
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 to `bound` − 1.
    fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of 128 bits")
    }
}
