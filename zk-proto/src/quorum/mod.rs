//! The bytes between the servers of an ensemble (`server/quorum`, 3.9.5).
//!
//! ```text
//! quorum port     learner ── FromLearner packets ──▶ leader      packets without a frame around them;
//!                 learner ◀── FromLeader packets ─── leader      a snapshot's nodes after FromLeader::Snap
//! election port   dialler ── InitialMessage, then frames ──▶     each frame one Notification,
//!                 dialler ◀────────────────── frames ───────     in both directions
//! ```
//!
//! Where servers log in at each other, [`AuthPacket`]s come first. [`EnsembleConfig`] is the text that both ports and `/zookeeper/config` carry: who the members
//! are. This module knows layouts and the validity of each value. It does not know which packet may
//! follow which, what a quorum is, or how a host name is resolved.

mod address;
mod auth_packet;
mod ensemble_config;
mod from_leader;
mod from_learner;
mod initial_message;
mod java_order;
mod learner_info;
mod notification;
mod packet;
mod server_line;

pub use address::{Address, Host};
pub use auth_packet::{AuthPacket, AuthStatus};
pub use ensemble_config::{EnsembleConfig, EnsembleConfigError, GroupId, Hierarchy};
pub use from_leader::{FromLeader, SNAPSHOT_SIGNATURE, put_inform, put_proposal};
pub use from_learner::FromLearner;
pub use initial_message::{
    INITIAL_TEXT_BYTES_MAX, InitialForm, InitialMessage, InitialMessageError,
};
pub use learner_info::{LearnerInfo, PROTOCOL_VERSION};
pub use notification::{NOTIFICATION_BYTES_MAX, NOTIFICATION_VERSION, Notification, ServerState};
pub use packet::{PACKET_IDS_MAX, Packet, split_packet};
pub use server_line::{EnsembleServer, ServerAddress, ServerLineError, ServerRole};
