//! Who dials whom, which connection lives, and what is sent on it.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::ServerId;
use zk_proto::quorum::Address;

use crate::election::links::{Accepted, Dialled, LinkEffect, LinkId, Links, LinksConfig, Refusal};

const ME: ServerId = ServerId(5);
const SMALL: ServerId = ServerId(2);
const LARGE: ServerId = ServerId(8);

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn links() -> Links<&'static str> {
    Links::new(LinksConfig::new(ME, 1))
}

/// Links to these, who were dialled at 0.
fn with_members(members: &[ServerId]) -> Links<&'static str> {
    let mut links = links();
    links.set_members(at(0), members.iter().copied());
    drain(&mut links);
    links
}

fn drain(links: &mut Links<&'static str>) -> Vec<LinkEffect<&'static str>> {
    core::iter::from_fn(|| links.next_effect()).collect()
}

fn dial(peer: ServerId) -> LinkEffect<&'static str> {
    LinkEffect::Dial {
        peer,
        called_from: Vec::new(),
        timeout: Duration::from_secs(2),
    }
}

fn up(peer: ServerId) -> LinkEffect<&'static str> {
    LinkEffect::Up { peer }
}

fn down(peer: ServerId) -> LinkEffect<&'static str> {
    LinkEffect::Down { peer }
}

fn close(link: u64) -> LinkEffect<&'static str> {
    LinkEffect::Close { link: LinkId(link) }
}

fn write(peer: ServerId, link: u64, message: &'static str) -> LinkEffect<&'static str> {
    let link = LinkId(link);
    LinkEffect::Write {
        peer,
        link,
        message,
    }
}

/// Waits for the deadline, whatever it is, and returns it with what is done then.
fn next(links: &mut Links<&'static str>) -> (Duration, Vec<LinkEffect<&'static str>>) {
    let due = links.next_deadline().unwrap();
    links.on_tick(due);
    (due, drain(links))
}

#[test]
fn members_are_dialled_at_once_and_this_server_is_not() {
    let mut links = links();
    links.set_members(at(0), [SMALL, ME, LARGE]);
    assert_eq!(drain(&mut links), [dial(SMALL), dial(LARGE)]);
    links.set_members(at(1), [SMALL, LARGE, ServerId(9)]);
    assert_eq!(drain(&mut links), [dial(ServerId(9))]);
}

#[test]
fn the_larger_id_keeps_what_it_dialled_and_the_smaller_only_announces_itself() {
    let mut links = with_members(&[SMALL, LARGE]);
    assert_eq!(links.on_dialled(at(1), SMALL, LinkId(1)), Dialled::Keep);
    assert_eq!(links.on_dialled(at(1), LARGE, LinkId(2)), Dialled::Announce);
    assert_eq!(drain(&mut links), [up(SMALL)]);
    assert!(links.is_linked(SMALL) && !links.is_linked(LARGE));
}

#[test]
fn the_larger_id_is_accepted_and_the_smaller_called_back() {
    let mut links = with_members(&[SMALL, LARGE]);
    links.on_dial_failed(at(1), SMALL);
    drain(&mut links);
    let address = Address::parse("zk2:3888").unwrap();
    let became = links.on_accepted(at(20), LinkId(1), SMALL, vec![address.clone()]);
    assert_eq!(became, Accepted::CallBack);
    let expected = LinkEffect::Dial {
        peer: SMALL,
        called_from: vec![address],
        timeout: Duration::from_secs(2),
    };
    assert_eq!(drain(&mut links), [expected]);
    let became = links.on_accepted(at(20), LinkId(2), LARGE, Vec::new());
    assert_eq!(became, Accepted::Keep(LARGE));
    assert_eq!(drain(&mut links), [up(LARGE)]);
}

#[test]
fn the_newest_connection_wins() {
    let mut links = with_members(&[LARGE]);
    links.on_accepted(at(1), LinkId(1), LARGE, Vec::new());
    links.on_accepted(at(2), LinkId(2), LARGE, Vec::new());
    let expected = [up(LARGE), close(1), down(LARGE), up(LARGE)];
    assert_eq!(drain(&mut links), expected);
    assert!(links.is_current(LARGE, LinkId(2)) && !links.is_current(LARGE, LinkId(1)));
    links.on_closed(at(3), LARGE, LinkId(1));
    assert_eq!(
        drain(&mut links),
        [],
        "the end of the one before means nothing"
    );
}

#[test]
fn a_smaller_id_that_calls_has_lost_its_link_unless_the_call_crossed_it() {
    let mut links = with_members(&[SMALL]);
    links.on_dialled(at(1), SMALL, LinkId(1));
    drain(&mut links);
    let became = links.on_accepted(at(200), LinkId(2), SMALL, Vec::new());
    assert_eq!((became, drain(&mut links)), (Accepted::CallBack, vec![]));
    let became = links.on_accepted(at(201), LinkId(3), SMALL, Vec::new());
    assert_eq!(became, Accepted::CallBack);
    assert_eq!(drain(&mut links), [close(1), down(SMALL), dial(SMALL)]);
}

#[test]
fn a_call_does_not_wait_for_a_slow_dial() {
    let mut links = with_members(&[SMALL]);
    links.on_accepted(at(99), LinkId(1), SMALL, Vec::new());
    assert_eq!(drain(&mut links), [], "a dial is under way");
    links.on_accepted(at(100), LinkId(2), SMALL, Vec::new());
    assert_eq!(drain(&mut links), [dial(SMALL)], "it may have gone astray");
    links.on_accepted(at(300), LinkId(3), SMALL, Vec::new());
    assert_eq!(drain(&mut links), [], "two are enough");
    assert_eq!(links.on_dialled(at(301), SMALL, LinkId(4)), Dialled::Keep);
    assert_eq!(drain(&mut links), [up(SMALL)]);
    assert_eq!(links.on_dialled(at(302), SMALL, LinkId(5)), Dialled::Drop);
    assert!(links.is_current(SMALL, LinkId(4)));
}

#[test]
fn an_announcement_is_not_made_to_who_is_linked() {
    let mut links = with_members(&[LARGE]);
    links.on_accepted(at(1), LinkId(1), LARGE, Vec::new());
    assert_eq!(links.on_dialled(at(2), LARGE, LinkId(2)), Dialled::Drop);
}

#[test]
fn calls_in_a_row_are_called_back_with_pauses() {
    let mut links = links();
    let caller = ServerId(1);
    links.on_accepted(at(0), LinkId(1), caller, Vec::new());
    assert_eq!(drain(&mut links), [dial(caller)]);
    links.on_dialled(at(1), caller, LinkId(2));
    links.on_closed(at(2), caller, LinkId(2));
    drain(&mut links);
    links.on_accepted(at(3), LinkId(3), caller, Vec::new());
    assert_eq!(
        drain(&mut links),
        [dial(caller)],
        "it was forgotten meanwhile"
    );
    links.set_members(at(4), [caller]);
    links.on_dial_failed(at(4), caller);
    drain(&mut links);
    links.on_accepted(at(4), LinkId(4), caller, Vec::new());
    assert_eq!(drain(&mut links), []);
    assert_eq!(next(&mut links), (at(8), vec![dial(caller)]));
}

#[test]
fn dials_that_fail_are_repeated_ever_more_rarely() {
    let mut links = with_members(&[SMALL, LARGE]);
    links.on_dialled(at(0), SMALL, LinkId(1));
    drain(&mut links);
    let (mut now, mut wait) = (at(0), at(50));
    for _ in 0..10 {
        links.on_dial_failed(now, LARGE);
        assert_eq!(drain(&mut links), [LinkEffect::Unreachable { peer: LARGE }]);
        let (due, effects) = next(&mut links);
        assert_eq!(effects, [dial(LARGE)]);
        assert!(
            (wait / 2..=wait).contains(&(due - now)),
            "{wait:?}: {due:?} after {now:?}"
        );
        (now, wait) = (due, (wait * 2).min(at(2_000)));
    }
}

#[test]
fn servers_of_different_seeds_dial_at_different_times() {
    let due = |seed| {
        let mut links: Links<&str> = Links::new(LinksConfig::new(ME, seed));
        links.set_members(at(0), [LARGE]);
        links.on_dial_failed(at(1), LARGE);
        links.next_deadline().unwrap()
    };
    assert_eq!(due(1), due(1));
    assert_ne!(due(1), due(2));
}

#[test]
fn a_peer_that_answers_no_dial_delays_no_other() {
    let mut links = with_members(&[SMALL, LARGE, ServerId(9)]);
    links.on_dial_failed(at(1), SMALL);
    links.on_accepted(at(1), LinkId(1), ServerId(9), Vec::new());
    links.send(LARGE, "vote");
    links.send(ServerId(9), "vote");
    let expected = [
        LinkEffect::Unreachable { peer: SMALL },
        up(ServerId(9)),
        write(ServerId(9), 1, "vote"),
    ];
    assert_eq!(drain(&mut links), expected);
    let (due, effects) = next(&mut links);
    assert!(due <= at(51));
    assert_eq!(
        effects,
        [dial(SMALL)],
        "the dial of the other is still under way"
    );
}

#[test]
fn a_larger_id_that_does_not_dial_back_counts_as_unreachable() {
    let mut links = with_members(&[LARGE]);
    links.on_dialled(at(1), LARGE, LinkId(1));
    let (due, effects) = next(&mut links);
    assert_eq!(due, at(1_001));
    assert_eq!(effects, [LinkEffect::Unreachable { peer: LARGE }]);
    let (due, effects) = next(&mut links);
    assert!(due > at(1_001));
    assert_eq!(effects, [dial(LARGE)]);
}

#[test]
fn a_larger_id_that_dies_while_it_takes_the_announcement_is_found_out_soon() {
    let mut links = with_members(&[LARGE]);
    links.on_accepted(at(1), LinkId(1), LARGE, Vec::new());
    links.on_dialled(at(1), LARGE, LinkId(2));
    links.on_closed(at(5_000), LARGE, LinkId(1));
    assert_eq!(drain(&mut links), [up(LARGE), down(LARGE), dial(LARGE)]);
    let became = links.on_dialled(at(5_001), LARGE, LinkId(3));
    assert_eq!(became, Dialled::Announce);
    assert_eq!(next(&mut links), (at(5_051), vec![dial(LARGE)]));
    let became = links.on_dialled(at(5_052), LARGE, LinkId(4));
    assert_eq!(became, Dialled::Announce, "once more, in earnest");
    let unreachable = vec![LinkEffect::Unreachable { peer: LARGE }];
    assert_eq!(next(&mut links), (at(6_052), unreachable));
}

#[test]
fn a_link_that_broke_is_dialled_at_once_and_a_short_one_after_a_wait() {
    let mut links = with_members(&[SMALL]);
    links.on_dialled(at(0), SMALL, LinkId(1));
    drain(&mut links);
    links.on_closed(at(200), SMALL, LinkId(1));
    assert_eq!(drain(&mut links), [down(SMALL), dial(SMALL)]);
    links.on_dialled(at(200), SMALL, LinkId(2));
    drain(&mut links);
    links.on_closed(at(399), SMALL, LinkId(2));
    assert_eq!(drain(&mut links), [down(SMALL)]);
    let (due, effects) = next(&mut links);
    assert!(due > at(399));
    assert_eq!(effects, [dial(SMALL)]);
}

#[test]
fn one_message_waits_the_newest() {
    let mut links = with_members(&[SMALL]);
    links.send(SMALL, "first");
    links.send(SMALL, "second");
    links.on_dialled(at(1), SMALL, LinkId(1));
    assert_eq!(drain(&mut links), [up(SMALL), write(SMALL, 1, "second")]);
    links.send(SMALL, "third");
    links.send(SMALL, "fourth");
    assert_eq!(drain(&mut links), [], "one is being written");
    links.on_written(SMALL, LinkId(1));
    assert_eq!(drain(&mut links), [write(SMALL, 1, "fourth")]);
    links.on_written(SMALL, LinkId(1));
    assert_eq!(drain(&mut links), []);
}

#[test]
fn the_last_message_is_sent_again_on_a_fresh_link_unless_there_is_a_newer_one() {
    let mut links = with_members(&[LARGE]);
    links.send(LARGE, "first");
    links.on_accepted(at(1), LinkId(1), LARGE, Vec::new());
    assert_eq!(drain(&mut links), [up(LARGE), write(LARGE, 1, "first")]);
    links.on_accepted(at(2), LinkId(2), LARGE, Vec::new());
    let again = [close(1), down(LARGE), up(LARGE), write(LARGE, 2, "first")];
    assert_eq!(drain(&mut links), again);
    links.on_accepted(at(3), LinkId(3), LARGE, Vec::new());
    for expected in [close(2), down(LARGE), up(LARGE)] {
        assert_eq!(links.next_effect(), Some(expected));
    }
    links.send(LARGE, "second");
    assert_eq!(drain(&mut links), [write(LARGE, 3, "second")]);
}

#[test]
fn what_the_written_of_another_link_says_means_nothing() {
    let mut links = with_members(&[LARGE]);
    links.on_accepted(at(1), LinkId(1), LARGE, Vec::new());
    links.on_accepted(at(2), LinkId(2), LARGE, Vec::new());
    links.send(LARGE, "first");
    drain(&mut links);
    links.send(LARGE, "second");
    links.on_written(LARGE, LinkId(1));
    assert_eq!(drain(&mut links), []);
}

#[test]
fn the_own_id_and_negative_ones_are_refused() {
    let mut links = with_members(&[LARGE]);
    let mut refused = |id| links.on_accepted(at(1), LinkId(1), ServerId(id), Vec::new());
    assert_eq!(refused(5), Accepted::Refuse(Refusal::OwnId));
    assert_eq!(refused(-1), Accepted::Refuse(Refusal::BadId));
    assert_eq!(refused(i64::MIN), Accepted::Refuse(Refusal::BadId));
}

#[test]
fn observers_without_an_id_get_negative_ones() {
    let mut links = links();
    for (link, id) in [(1, -1), (2, -2)] {
        let anonymous = ServerId::ANONYMOUS_OBSERVER;
        let became = links.on_accepted(at(1), LinkId(link), anonymous, Vec::new());
        assert_eq!(became, Accepted::Keep(ServerId(id)));
    }
    links.send(ServerId(-2), "vote");
    let expected = [
        up(ServerId(-1)),
        up(ServerId(-2)),
        write(ServerId(-2), 2, "vote"),
    ];
    assert_eq!(drain(&mut links), expected);
}

#[test]
fn strangers_are_bounded_and_forgotten_with_their_links() {
    let config = LinksConfig {
        strangers_max: 2,
        ..LinksConfig::new(ME, 1)
    };
    let mut links: Links<&str> = Links::new(config);
    links.set_members(at(0), [LARGE]);
    drain(&mut links);
    let call = |links: &mut Links<&'static str>, link: u64, id: i64| {
        links.on_accepted(at(link), LinkId(link), ServerId(id), Vec::new())
    };
    assert_eq!(call(&mut links, 1, 9), Accepted::Keep(ServerId(9)));
    assert_eq!(call(&mut links, 2, 1), Accepted::CallBack);
    assert_eq!(
        call(&mut links, 3, 10),
        Accepted::Refuse(Refusal::Strangers)
    );
    assert_eq!(
        call(&mut links, 4, 8),
        Accepted::Keep(LARGE),
        "a member is none"
    );
    links.on_closed(at(5), ServerId(9), LinkId(1));
    assert_eq!(call(&mut links, 6, 10), Accepted::Keep(ServerId(10)));
    drain(&mut links);
    links.on_dial_failed(at(7), ServerId(1));
    assert_eq!(
        drain(&mut links),
        [LinkEffect::Unreachable { peer: ServerId(1) }]
    );
    assert_eq!(
        links.next_deadline(),
        None,
        "a stranger is not dialled again"
    );
    assert_eq!(call(&mut links, 8, 11), Accepted::Keep(ServerId(11)));
}

#[test]
fn who_is_no_member_any_more_is_not_dialled() {
    let mut links = with_members(&[SMALL, LARGE]);
    links.on_dialled(at(1), SMALL, LinkId(1));
    links.on_dial_failed(at(1), LARGE);
    drain(&mut links);
    links.set_members(at(2), [ServerId(9)]);
    drain(&mut links);
    links.on_dial_failed(at(2), ServerId(9));
    drain(&mut links);
    links.on_closed(at(500), SMALL, LinkId(1));
    let effects = drain(&mut links);
    assert_eq!(effects, [down(SMALL), dial(ServerId(9))]);
    assert_eq!(links.next_deadline(), None);
}

#[test]
#[should_panic(expected = "a dial is reported once")]
fn a_dial_that_was_not_asked_for_is_a_bug() {
    links().on_dialled(at(1), LARGE, LinkId(1));
}
