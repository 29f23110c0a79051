//! What a well-behaved client notices of hostile ones.
//!
//! For each kind of hostile client two servers are started with empty directories. The good client
//! ([`good`]) works at the first one: alone, while the attack ([`attack`]) is on the second one, and
//! while it is on its own. What the attack takes of the machine, processors above all, it takes in
//! both cases; the ratio of the last two is what the server lets hostile clients do to good ones.
//! Prints a table in Markdown: the good client's latencies, that ratio, the attacked server's CPU and
//! the most memory it had resident.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::disallowed_methods, reason = "measures time")]

mod attack;
mod good;

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;

use crate::Options;
use crate::server::{Flavour, Server};
use attack::{ATTACKS, Attack};

/// What goes before a measurement, so that it sees neither the first use of anything nor the start
/// of an attack.
const LEAD: Duration = Duration::from_secs(1);
/// The same for a server that has a JIT.
const LEAD_OF_JAVA: Duration = Duration::from_secs(8);

/// What was measured beside one kind of hostile client.
struct Row {
    name: &'static str,
    rounds_per_second: f64,
    cores: f64,
    alone: good::Latencies,
    elsewhere: good::Latencies,
    beside: good::Latencies,
    peak_bytes: f64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    println!(
        "good client: {} sessions, half read and half write {} bytes, {} requests each at once, \
         every {:?}\n",
        good::SESSIONS,
        good::VALUE_BYTES,
        good::BURST,
        good::PERIOD,
    );
    let only = options.only.as_deref().unwrap_or_default();
    let flavours: &[Flavour] = match options.without_apache {
        true => &[Flavour::Ours],
        false => &[Flavour::Ours, Flavour::Apache],
    };
    for &flavour in flavours {
        println!(
            "| {flavour} | rounds/s | cores | read p99, µs: alone | beside, elsewhere | beside | × \
             | write p99, µs: alone | beside, elsewhere | beside | × | peak, MiB |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        );
        for attack in ATTACKS.iter().filter(|attack| attack.name.contains(only)) {
            let row = measure(options, flavour, attack).context(attack.name)?;
            println!("{}", line(&row));
        }
        println!();
    }
    Ok(())
}

fn measure(options: &Options, flavour: Flavour, attack: &Attack) -> anyhow::Result<Row> {
    eprintln!("{flavour}: {}", attack.name);
    let server = Server::start(flavour, options)?;
    let address = server.address();
    good::prepare(address)?;
    attack.prepare(address)?;
    let lead = match flavour {
        Flavour::Ours => LEAD,
        Flavour::Apache => LEAD_OF_JAVA,
    };
    let other = Server::start(flavour, options)?;
    attack.prepare(other.address())?;
    good::work(address, lead)?;
    let alone = good::work(address, options.duration)?;
    let work = || {
        good::work(address, LEAD)?;
        good::work(address, options.duration)
    };
    let (elsewhere, _) = attack.beside(other.address(), work)?;
    other.stop().map(drop)?;
    let (beside, rounds) = attack.beside(address, || {
        good::work(address, LEAD)?;
        let (start, cpu) = (Instant::now(), server.cpu_time()?);
        let latencies = good::work(address, options.duration)?;
        let cpu = server.cpu_time()?.saturating_sub(cpu);
        Ok((latencies, cpu.as_secs_f64() / start.elapsed().as_secs_f64()))
    })?;
    let (beside, cores) = beside;
    let row = Row {
        name: attack.name,
        rounds_per_second: rounds as f64 / (LEAD + options.duration).as_secs_f64(),
        cores,
        alone,
        elsewhere,
        beside,
        peak_bytes: server.resident_peak_bytes()?,
    };
    // The server has survived: it still answers.
    good::work(address, good::PERIOD)?;
    server.stop().map(drop)?;
    Ok(row)
}

fn line(row: &Row) -> String {
    let Row {
        alone,
        elsewhere,
        beside,
        ..
    } = row;
    let all = |of: fn(&good::Latencies) -> &Histogram<u64>| {
        let p99 = |latencies| of(latencies).value_at_quantile(0.99);
        let (alone, elsewhere, beside) = (p99(alone), p99(elsewhere), p99(beside));
        let times = beside as f64 / elsewhere as f64;
        format!("{alone} | {elsewhere} | {beside} | {times:.1}")
    };
    format!(
        "| {} | {:.0} | {:.2} | {} | {} | {:.0} |",
        row.name,
        row.rounds_per_second,
        row.cores,
        all(|latencies| &latencies.reads),
        all(|latencies| &latencies.writes),
        row.peak_bytes / f64::from(1 << 20),
    )
}
