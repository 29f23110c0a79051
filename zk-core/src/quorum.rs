//! Which sets of servers decide (`QuorumMaj`, `QuorumHierarchical` and `SyncedLearnerTracker`,
//! 3.9.5).
//!
//! Any two quorums of one [`Membership`] share a server that has a vote. Everything that an ensemble
//! promises rests on that; while a reconfig is under way, quorums of both memberships are needed.

use alloc::collections::{BTreeMap, BTreeSet};

use zk_proto::quorum::{EnsembleConfig, GroupId};
use zk_proto::{ServerId, Zxid};

/// Who votes in one configuration, and how much each vote counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    voters: BTreeSet<ServerId>,
    rule: Rule,
    version: Zxid,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// More than half of the voters.
    Majority,
    /// More than half of the weight in each of more than half of the groups that have weight.
    Hierarchical {
        voters: BTreeMap<ServerId, (GroupId, u64)>,
        /// Groups that have weight, with all of it; that of observers included, who never vote.
        groups: BTreeMap<GroupId, u128>,
    },
}

impl Membership {
    /// The voters of a configuration.
    #[must_use]
    pub fn of(config: &EnsembleConfig) -> Self {
        let voters: BTreeSet<_> = config.participants().map(|(id, _)| id).collect();
        Self {
            rule: Rule::of(config, &voters),
            voters,
            version: config.version(),
        }
    }

    /// The configuration's version.
    #[must_use]
    pub fn version(&self) -> Zxid {
        self.version
    }

    /// The voters.
    #[must_use]
    pub fn voters(&self) -> &BTreeSet<ServerId> {
        &self.voters
    }

    /// Whether this server votes. One of weight zero does, without effect.
    #[must_use]
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters.contains(&id)
    }

    /// How much a voter's vote counts; zero for one that is no voter.
    #[must_use]
    pub fn weight(&self, id: ServerId) -> u64 {
        match &self.rule {
            Rule::Majority => self.is_voter(id).into(),
            Rule::Hierarchical { voters, .. } => voters.get(&id).map_or(0, |&(_, weight)| weight),
        }
    }

    /// Whether these servers decide. Those that are no voters do not count.
    #[must_use]
    pub fn is_quorum(&self, acks: &BTreeSet<ServerId>) -> bool {
        self.is_quorum_by(|id| acks.contains(&id))
    }

    /// Whether the voters for which `has_acked` holds decide.
    #[must_use]
    pub fn is_quorum_by(&self, has_acked: impl Fn(ServerId) -> bool) -> bool {
        match &self.rule {
            Rule::Majority => {
                let acks = self.voters.iter().filter(|&&id| has_acked(id)).count();
                acks > self.voters.len() / 2
            }
            Rule::Hierarchical { voters, groups } => {
                let mut acked: BTreeMap<GroupId, u128> = BTreeMap::new();
                for (_, &(group, weight)) in voters.iter().filter(|&(&id, _)| has_acked(id)) {
                    *acked.entry(group).or_default() += u128::from(weight);
                }
                let is_won = |(group, &all): (&GroupId, &u128)| {
                    acked.get(group).is_some_and(|&acked| acked > all / 2)
                };
                let won = groups.iter().filter(|&group| is_won(group)).count();
                won > groups.len() / 2
            }
        }
    }
}

impl Rule {
    fn of(config: &EnsembleConfig, voters: &BTreeSet<ServerId>) -> Self {
        let Some(hierarchy) = config.hierarchy() else {
            return Self::Majority;
        };
        let weight_of = |id| hierarchy.weights.get(&id).copied().unwrap_or(0);
        let mut groups: BTreeMap<GroupId, u128> = BTreeMap::new();
        for (&id, &group) in &hierarchy.groups {
            *groups.entry(group).or_default() += u128::from(weight_of(id));
        }
        groups.retain(|_, &mut weight| weight > 0);
        let voter = |&id: &ServerId| Some((id, (*hierarchy.groups.get(&id)?, weight_of(id))));
        Self::Hierarchical {
            voters: voters.iter().filter_map(voter).collect(),
            groups,
        }
    }
}

/// The memberships whose quorums are all needed: that of the configuration in force and, while a
/// reconfig is under way, that of the one which was proposed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorums {
    current: Membership,
    next: Option<Membership>,
    voters: BTreeSet<ServerId>,
}

impl Quorums {
    /// The configuration in force, and the last one seen, which counts where its version is higher.
    #[must_use]
    pub fn new(current: &EnsembleConfig, last_seen: Option<&EnsembleConfig>) -> Self {
        let next = last_seen.filter(|config| config.version() > current.version());
        let (current, next) = (Membership::of(current), next.map(Membership::of));
        let joining = next.iter().flat_map(|next| &next.voters);
        Self {
            voters: current.voters.iter().chain(joining).copied().collect(),
            current,
            next,
        }
    }

    /// The membership in force.
    #[must_use]
    pub fn current(&self) -> &Membership {
        &self.current
    }

    /// The membership that a reconfig under way will put in force.
    #[must_use]
    pub fn next(&self) -> Option<&Membership> {
        self.next.as_ref()
    }

    /// The voters of either membership.
    #[must_use]
    pub fn voters(&self) -> &BTreeSet<ServerId> {
        &self.voters
    }

    /// Whether this server votes in either membership.
    #[must_use]
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters.contains(&id)
    }

    /// How much a voter's vote counts, in the membership in force if it votes there.
    #[must_use]
    pub fn weight(&self, id: ServerId) -> u64 {
        let mut memberships = self.both();
        let votes_in = memberships.find(|membership| membership.is_voter(id));
        votes_in.map_or(0, |membership| membership.weight(id))
    }

    /// Whether these servers decide in every membership.
    #[must_use]
    pub fn has_all(&self, acks: &BTreeSet<ServerId>) -> bool {
        self.has_all_by(|id| acks.contains(&id))
    }

    /// Whether the voters for which `has_acked` holds decide in every membership.
    #[must_use]
    pub fn has_all_by(&self, has_acked: impl Fn(ServerId) -> bool) -> bool {
        self.both()
            .all(|membership| membership.is_quorum_by(&has_acked))
    }

    fn both(&self) -> impl Iterator<Item = &Membership> {
        core::iter::once(&self.current).chain(&self.next)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn config(text: &str) -> EnsembleConfig {
        text.parse().unwrap()
    }

    fn participants(ids: &[i64]) -> String {
        ids.iter()
            .map(|id| alloc::format!("server.{id}=host{id}:2888:3888\n"))
            .collect()
    }

    fn set(ids: &[i64]) -> BTreeSet<ServerId> {
        ids.iter().copied().map(ServerId).collect()
    }

    #[test]
    fn a_majority_of_the_voters_decides_and_observers_do_not_count() {
        let text = participants(&[1, 2, 3, 4]) + "server.9=o:1:2:observer";
        let membership = Membership::of(&config(&text));
        for (acks, is_quorum) in [
            (&[][..], false),
            (&[1, 2], false),
            (&[1, 2, 9], false),
            (&[1, 2, 77], false),
            (&[1, 2, 3], true),
            (&[1, 2, 3, 4], true),
        ] {
            assert_eq!(membership.is_quorum(&set(acks)), is_quorum, "{acks:?}");
        }
        assert_eq!(membership.weight(ServerId(1)), 1);
        assert_eq!(membership.weight(ServerId(9)), 0);
    }

    #[test]
    fn nobody_decides_for_no_members() {
        assert!(!Membership::of(&config("version=0")).is_quorum(&set(&[1])));
    }

    #[test]
    fn a_majority_of_weight_in_a_majority_of_groups_decides() {
        let text = participants(&[1, 2, 3, 4, 5, 6, 7, 8, 9])
            + "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9\n";
        let membership = Membership::of(&config(&text));
        for (acks, is_quorum) in [
            (&[1, 2, 4, 5][..], true),
            (&[1, 2, 3, 4, 7], false),
            (&[1, 4, 7], false),
            (&[1, 2, 3, 4, 5, 6], true),
            (&[1, 2, 3], false),
            (&[2, 3, 8, 9], true),
        ] {
            assert_eq!(membership.is_quorum(&set(acks)), is_quorum, "{acks:?}");
        }
    }

    #[test]
    fn weight_zero_has_no_vote_and_a_group_of_it_is_no_group() {
        let text = participants(&[1, 2, 3, 4, 5, 6])
            + "group.1=1:2:3\ngroup.2=4:5\ngroup.3=6\n\
               weight.3=0\nweight.4=0\nweight.5=0\nweight.6=3\n";
        let membership = Membership::of(&config(&text));
        for (acks, is_quorum) in [
            (&[1, 2][..], false),
            (&[1, 2, 6], true),
            (&[1, 2, 3, 4, 5], false),
            (&[1, 3, 6], false),
        ] {
            assert_eq!(membership.is_quorum(&set(acks)), is_quorum, "{acks:?}");
        }
        assert_eq!(membership.weight(ServerId(3)), 0);
        assert_eq!(membership.weight(ServerId(6)), 3);
    }

    #[test]
    fn nobody_decides_where_nothing_has_weight() {
        let text = participants(&[1, 2]) + "group.1=1:2\nweight.1=0\nweight.2=0";
        assert!(!Membership::of(&config(&text)).is_quorum(&set(&[1, 2])));
    }

    #[test]
    fn a_reconfig_under_way_needs_both_quorums() {
        let current = config(&participants(&[1, 2, 3]));
        let next = config(&(participants(&[3, 4, 5]) + "version=5"));
        let quorums = Quorums::new(&current, Some(&next));
        assert!(!quorums.has_all(&set(&[1, 2, 3])));
        assert!(!quorums.has_all(&set(&[3, 4, 5])));
        assert!(quorums.has_all(&set(&[1, 3, 4])));
        assert_eq!(quorums.voters(), &set(&[1, 2, 3, 4, 5]));
        assert!(quorums.is_voter(ServerId(1)) && quorums.is_voter(ServerId(5)));
        assert_eq!(quorums.weight(ServerId(5)), 1);
        assert_eq!(quorums.weight(ServerId(6)), 0);
    }

    #[test]
    fn a_last_seen_configuration_that_is_in_force_adds_nothing() {
        let current = config(&(participants(&[1, 2, 3]) + "version=5"));
        for version in ["version=5", "version=4"] {
            let seen = config(&(participants(&[4]) + version));
            let quorums = Quorums::new(&current, Some(&seen));
            assert_eq!(quorums, Quorums::new(&current, None));
            assert!(quorums.has_all(&set(&[1, 2])));
        }
    }

    /// Groups and weights of up to nine servers, and two sets of them.
    fn hierarchies() -> impl Strategy<Value = (String, [BTreeSet<ServerId>; 2])> {
        let servers = btree_map(1..10_i64, (1..4_i64, 0..4_u64), 1..9);
        (servers, vec(any::<bool>(), 20)).prop_map(|(servers, picks)| {
            let ids: Vec<i64> = servers.keys().copied().collect();
            let mut text = participants(&ids);
            for group in 1..4 {
                let members = servers.iter().filter(|(_, (of, _))| *of == group);
                let members: Vec<String> = members.map(|(id, _)| alloc::format!("{id}")).collect();
                if !members.is_empty() {
                    text += &alloc::format!("group.{group}={}\n", members.join(":"));
                }
            }
            for (id, (_, weight)) in &servers {
                text += &alloc::format!("weight.{id}={weight}\n");
            }
            let pick = |offset: usize| {
                let picked = ids.iter().zip(picks.iter().skip(offset));
                picked
                    .filter(|(_, is_in)| **is_in)
                    .map(|(&id, _)| ServerId(id))
                    .collect()
            };
            (text, [pick(0), pick(10)])
        })
    }

    proptest! {
        #[test]
        fn two_quorums_share_a_server_with_weight((text, [left, right]) in hierarchies()) {
            let membership = Membership::of(&config(&text));
            if membership.is_quorum(&left) && membership.is_quorum(&right) {
                let shared = left.intersection(&right).any(|&id| membership.weight(id) > 0);
                prop_assert!(shared, "{text} {left:?} {right:?}");
            }
        }

        #[test]
        fn more_acks_never_undo_a_quorum((text, [left, right]) in hierarchies()) {
            let membership = Membership::of(&config(&text));
            let both = left.union(&right).copied().collect();
            prop_assert!(!membership.is_quorum(&left) || membership.is_quorum(&both));
        }
    }
}
