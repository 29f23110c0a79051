//! Quotas: znodes below `/zookeeper/quota` that servers read (`StatsTrack`, `SetQuotaCommand`,
//! `DelQuotaCommand`, 3.9.5).
//!
//! ```text
//! /zookeeper/quota/PATH/zookeeper_limits   count=10,bytes=-1=;byteHardLimit=-1;countHardLimit=-1
//! /zookeeper/quota/PATH/zookeeper_stats    count=2,bytes=12        kept by the server
//! ```

use std::collections::BTreeMap;
use std::fmt;

use zk_client::{Handle, Kind};

use crate::args::LimitArgs;
use crate::error::{CliError, Result, parent};
use crate::output::{Line, Printer, Values};
use crate::session::Session;
use crate::walk::{Walk, join};

const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";
/// In the order of the flags -n -b -N -B.
const KEYS: [&str; 4] = ["count", "bytes", "countHardLimit", "byteHardLimit"];
const UNLIMITED: i64 = -1;

/// Counts or limits, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Track(BTreeMap<String, i64>);

impl Track {
    fn parse(path: &str, data: &[u8]) -> Result<Self> {
        let bad = || {
            let text = String::from_utf8_lossy(data);
            CliError::Data(format!("{path} holds no quota: {text:?}"))
        };
        let text = std::str::from_utf8(data).map_err(|_| bad())?;
        let pairs = text.split([',', ';']).filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let value = value.trim_end_matches('=');
            let value = if value.is_empty() {
                UNLIMITED
            } else {
                value.parse().ok()?
            };
            Some((key.to_owned(), value))
        });
        pairs.collect::<Option<_>>().map(Self).ok_or_else(bad)
    }

    fn get(&self, key: &str) -> i64 {
        self.0.get(key).copied().unwrap_or(UNLIMITED)
    }

    fn set(&mut self, key: &str, value: i64) {
        self.0.insert(key.to_owned(), value);
    }
}

/// Soft limits first; the `=` behind them makes readers of before 3.7 stop there.
impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.get("count"), self.get("bytes"))?;
        let soft = ["count", "bytes"];
        let mut separator = "=;";
        for (key, value) in self
            .0
            .iter()
            .filter(|(key, _)| !soft.contains(&key.as_str()))
        {
            write!(f, "{separator}{key}={value}")?;
            separator = ";";
        }
        Ok(())
    }
}

/// Where the quota of a path stands.
fn quota_path(session: &Session, path: &str) -> String {
    match session.absolute(path).as_str() {
        "/" => ROOT.to_owned(),
        path => format!("{ROOT}{path}"),
    }
}

async fn read(zk: &Handle, quota: &str, name: &str) -> Result<Option<Track>> {
    let path = join(quota, name);
    match zk.get(path.clone()).await {
        Ok(node) => Track::parse(&path, &node.data).map(Some),
        Err(error) if *error.kind() == Kind::NoNode => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn list(session: &Session, out: Printer, path: &str) -> Result {
    let (zk, quota) = (session.root(), quota_path(session, path));
    let limits = read(zk, &quota, LIMITS).await?;
    let stats = read(zk, &quota, STATS).await?;
    let (Some(limits), Some(stats)) = (limits, stats) else {
        return Err(CliError::Data(format!("quota for {path} does not exist.")));
    };
    Ok(out.print(&Values {
        text: format!(
            "absolute path is {quota}/{LIMITS}\nOutput quota for {path} {limits}\nOutput stat for {path} {stats}"
        ),
        json: serde_json::json!({ "path": path, "limits": limits.0, "stats": stats.0 }),
    })?)
}

pub(super) async fn set(session: &Session, out: Printer, path: &str, limit: LimitArgs) -> Result {
    let absolute = session.absolute(path);
    if absolute == ROOT || absolute.starts_with(&format!("{ROOT}/")) {
        return Err(CliError::Usage(format!("cannot set a quota under {ROOT}")));
    }
    let zk: &Handle = session.root();
    if zk.exists(absolute).await?.is_none() {
        return Err(CliError::Missing(path.to_owned()));
    }
    let quota = quota_path(session, path);
    refuse_nested(zk, path, &quota).await?;
    create_all(zk, &quota).await?;
    let limits = read(zk, &quota, LIMITS).await?;
    let exists = limits.is_some();
    let unlimited = || Track(KEYS.map(|key| (key.to_owned(), UNLIMITED)).into());
    let mut limits = limits.unwrap_or_else(unlimited);
    let flags = [limit.count, limit.bytes, limit.hard_count, limit.hard_bytes];
    for (key, value) in KEYS.into_iter().zip(flags) {
        if let Some(value) = value {
            limits.set(key, value);
        }
    }
    let limits_path = join(&quota, LIMITS);
    if exists {
        zk.set(limits_path, limits.to_string()).await?;
    } else {
        zk.create(limits_path).data(limits.to_string()).await?;
        zk.create(join(&quota, STATS))
            .data("count=0,bytes=0")
            .await?;
    }
    warn(zk, out, &quota, &limits).await
}

/// Says when a limit is exceeded from the start.
async fn warn(zk: &Handle, out: Printer, quota: &str, limits: &Track) -> Result {
    let Some(stats) = read(zk, quota, STATS).await? else {
        return Ok(());
    };
    for (what, hard) in [("count", "countHardLimit"), ("bytes", "byteHardLimit")] {
        let used = stats.get(what);
        let limits = [limits.get(what), limits.get(hard)];
        if limits
            .into_iter()
            .any(|limit| limit > UNLIMITED && limit < used)
        {
            let message = format!(
                "[Warning]: the {what} quota you create is less than the existing {what}:{used}"
            );
            out.print(&Line { message })?;
        }
    }
    Ok(())
}

/// Quotas do not nest: servers look at the nearest one alone.
async fn refuse_nested(zk: &Handle, path: &str, quota: &str) -> Result {
    let mut above = parent(quota);
    while above.len() > ROOT.len() {
        if read(zk, above, LIMITS).await?.is_some() {
            let other = above.trim_start_matches(ROOT);
            return Err(CliError::Data(format!(
                "{path} has a parent {other} which has a quota"
            )));
        }
        above = parent(above);
    }
    if zk.exists(quota).await?.is_none() {
        return Ok(());
    }
    let mut walk = Walk::names(zk, quota);
    while let Some(visited) = walk.next(|_, _| false).await? {
        if visited.depth > 0 && visited.children.iter().any(|name| name == LIMITS) {
            let other = visited.path.trim_start_matches(ROOT);
            return Err(CliError::Data(format!(
                "{path} has a child {other} which has a quota"
            )));
        }
    }
    Ok(())
}

/// Creates a path below [`ROOT`].
async fn create_all(zk: &Handle, quota: &str) -> Result {
    let ends = quota
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([quota.len()]);
    for end in ends.filter(|end| *end > ROOT.len()) {
        match zk.create(quota.get(..end).unwrap_or(quota)).await {
            Ok(_) => {}
            Err(error) if *error.kind() == Kind::NodeExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Lifts the limits that `which` names, in the order of [`KEYS`]; when it names none, deletes the
/// quota and the parents that this leaves empty.
pub(super) async fn delete(
    session: &Session,
    out: Printer,
    path: &str,
    which: [bool; 4],
) -> Result {
    let (zk, quota) = (session.root(), quota_path(session, path));
    let Some(mut limits) = read(zk, &quota, LIMITS).await? else {
        let message = format!("Quota does not exist for {path}");
        return Ok(out.print(&Line { message })?);
    };
    if which.contains(&true) {
        for (key, _) in KEYS.into_iter().zip(which).filter(|(_, lift)| *lift) {
            limits.set(key, UNLIMITED);
        }
        zk.set(join(&quota, LIMITS), limits.to_string()).await?;
        return Ok(());
    }
    for name in [LIMITS, STATS] {
        match zk.delete(join(&quota, name)).await {
            Ok(()) => {}
            Err(error) if *error.kind() == Kind::NoNode => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut emptied = quota.as_str();
    while emptied.len() > ROOT.len() {
        match zk.delete(emptied).await {
            Ok(()) => emptied = parent(emptied),
            Err(error) if matches!(error.kind(), Kind::NotEmpty | Kind::NoNode) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_apache_writes_them() {
        let text = "count=10,bytes=-1=;byteHardLimit=-1;countHardLimit=-1";
        let track = Track::parse("/q", text.as_bytes()).unwrap();
        assert_eq!(track.get("count"), 10);
        assert_eq!(track.to_string(), text);
        let stats = Track::parse("/q", b"count=2,bytes=12").unwrap();
        assert_eq!(stats.to_string(), "count=2,bytes=12");
    }

    #[test]
    fn what_is_no_quota_is_refused() {
        for text in [&b"count"[..], b"count=x", b"\xff"] {
            assert!(Track::parse("/q", text).is_err());
        }
    }
}
