//! The port that clients connect to.

use super::address::ListenAddress;
use super::four_letter::FourLetterWords;
use std::num::NonZeroU32;

/// Settings of the client port.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientPortConfig {
    /// The address that is listened on.
    pub address: ListenAddress,
    /// The TCP port; 0 lets the system choose one.
    pub port: u16,
    /// How many connections wait to be accepted; `None` is the system's default.
    pub backlog: Option<NonZeroU32>,
    /// Whether the system probes idle connections.
    pub has_keep_alive: bool,
    /// The four-letter words that are answered.
    pub four_letter_words: FourLetterWords,
}
