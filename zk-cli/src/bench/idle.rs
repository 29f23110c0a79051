//! Sessions that do nothing but live.
#![expect(clippy::disallowed_methods, reason = "spreads pings over time")]

use rand::RngExt;
use rand::rngs::StdRng;
use zk_proto::Request;

use super::run::{Phase, Session};
use super::wire::Connection;

/// Pings three times in a session timeout until the end, starting anywhere in the first third, so
/// that the pings of many sessions spread.
pub(crate) async fn drive(
    connection: &mut Connection,
    session: &Session,
    mut random: StdRng,
) -> anyhow::Result<()> {
    let period = connection.timeout() / 3;
    let mut phases = session.phases();
    let first = period.mul_f64(random.random_range(0.0..1.0));
    let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + first, period);
    loop {
        tokio::select! {
            received = connection.exchange() => {
                received?;
                while connection.next_frame()?.is_some() {}
            }
            _ = pings.tick() => {
                connection.push(&Request::Ping);
            }
            stop = phases.wait_for(|phase| *phase == Phase::Stop) => {
                return Ok(stop.map(drop)?);
            }
        }
    }
}
