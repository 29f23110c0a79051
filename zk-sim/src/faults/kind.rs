//! The kinds of faults, and how often each happens.

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The process of one server ends; it is started again.
    Kill,
    /// Those of several servers, or of all.
    KillMany,
    /// One machine loses power.
    PowerCut,
    /// Several do, or all.
    PowerCutMany,
    /// A server is told to stop, as for an upgrade, and is started again.
    Retire,
    /// The leader is.
    RetireLeader,
    /// The leader crashes, one way or the other.
    CrashLeader,
    /// A process is stopped for a while (SIGSTOP).
    Stop,
    /// One server is cut off from all others.
    Isolate,
    /// The leader is cut off from the other servers, but not from clients.
    IsolateLeader,
    /// Two halves do not hear of each other.
    Halves,
    /// Each server hears of its neighbours alone.
    Ring,
    /// One server does not hear of another, which hears it.
    OneWay,
    /// Two servers hear of each other now and then.
    Flapping,
    /// Connections break.
    Cut,
    /// All connections of a server break.
    CutAll,
    /// A route takes little at once: whoever is there reads slowly.
    SlowRoute,
    /// A route takes much longer.
    LongRoute,
    /// Some clients do not reach some servers.
    ClientsApart,
    /// A disk is slow.
    SlowDisk,
    /// Calls of a disk fail, now and then.
    DiskFails,
    /// A disk is full.
    DiskFull,
    /// A wall clock jumps.
    ClockJumps,
    /// A monotonic clock goes at another rate.
    ClockDrifts,
    /// Many clients leave their servers at once.
    ClientsMove,
}

impl FaultKind {
    pub(crate) const ALL: [Self; 25] = [
        Self::Kill,
        Self::KillMany,
        Self::PowerCut,
        Self::PowerCutMany,
        Self::Retire,
        Self::RetireLeader,
        Self::CrashLeader,
        Self::Stop,
        Self::Isolate,
        Self::IsolateLeader,
        Self::Halves,
        Self::Ring,
        Self::OneWay,
        Self::Flapping,
        Self::Cut,
        Self::CutAll,
        Self::SlowRoute,
        Self::LongRoute,
        Self::ClientsApart,
        Self::SlowDisk,
        Self::DiskFails,
        Self::DiskFull,
        Self::ClockJumps,
        Self::ClockDrifts,
        Self::ClientsMove,
    ];

    /// How often it happens, beside the others.
    pub(crate) fn weight(self) -> u32 {
        match self {
            Self::CrashLeader | Self::PowerCut | Self::Cut => 6,
            Self::Kill | Self::PowerCutMany | Self::KillMany | Self::Isolate => 4,
            Self::IsolateLeader | Self::CutAll | Self::Stop | Self::SlowDisk => 4,
            Self::Retire | Self::RetireLeader => 3,
            Self::Halves | Self::OneWay | Self::DiskFails | Self::Ring => 3,
            Self::DiskFull
            | Self::Flapping
            | Self::SlowRoute
            | Self::LongRoute
            | Self::ClientsApart => 2,
            Self::ClockJumps | Self::ClockDrifts | Self::ClientsMove => 2,
        }
    }
}
