//! What a well-behaved client notices of hostile ones.
//!
//! For each kind of hostile client a server is started with an empty directory; the good client
//! ([`good`]) works alone, then beside the attack ([`attack`]). Prints a table in Markdown: the good
//! client's latencies, how many times longer they are beside the attack, the server's CPU and the
//! most memory it had resident.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::disallowed_methods, reason = "measures time")]

mod attack;
mod client;
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
            "| {flavour} beside | rounds/s | cores | read p50, µs | read p99, µs | × \
             | write p50, µs | write p99, µs | × | peak, MiB |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
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
    good::work(address, lead)?;
    let alone = good::work(address, options.duration)?;
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
        beside,
        peak_bytes: server.resident_peak_bytes()?,
    };
    // The server has survived: it still answers.
    good::work(address, good::PERIOD)?;
    server.stop().map(drop)?;
    Ok(row)
}

fn line(row: &Row) -> String {
    let pair = |alone: &Histogram<u64>, beside: &Histogram<u64>| {
        let at = |quantile| {
            (
                alone.value_at_quantile(quantile),
                beside.value_at_quantile(quantile),
            )
        };
        let (p50, p99) = (at(0.5), at(0.99));
        format!(
            "{} → {} | {} → {} | {:.1}",
            p50.0,
            p50.1,
            p99.0,
            p99.1,
            p99.1 as f64 / p99.0 as f64
        )
    };
    format!(
        "| {} | {:.0} | {:.2} | {} | {} | {:.0} |",
        row.name,
        row.rounds_per_second,
        row.cores,
        pair(&row.alone.reads, &row.beside.reads),
        pair(&row.alone.writes, &row.beside.writes),
        row.peak_bytes / f64::from(1 << 20),
    )
}
