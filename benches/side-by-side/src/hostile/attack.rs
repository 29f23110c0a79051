//! What hostile clients do.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rustix::process::setpriority_process;
use zk_proto::{AddWatch, AddWatchMode, MultiOp, OpCode, Request};

use crate::client::{Client, create, frame, frame_of, handshake, send_and_drain, socket};

/// Threads of an attack, each with connections of its own.
const THREADS: u64 = 4;
/// The least priority: the load of hostile clients comes from elsewhere in earnest, so it may not
/// take the processor from the server here.
const NICE: i32 = 19;

/// Requests that a hostile session has on the way.
const PIPELINE: usize = 16;
/// Operations of one multi, as many as are allowed.
const MULTI_OPS: usize = 10_000;
/// Children of the znode that is listed.
const CHILDREN: usize = 100_000;
/// Sockets that a thread holds open.
const SLOW_SOCKETS: usize = 500;
/// Sessions of a thread that watch everything.
const WATCHERS: usize = 25;

/// One kind of hostile client.
pub(super) struct Attack {
    pub(super) name: &'static str,
    prepare: fn(SocketAddr) -> anyhow::Result<()>,
    round: fn(SocketAddr, &mut Held) -> anyhow::Result<()>,
}

/// What a thread keeps from round to round.
struct Held {
    random: StdRng,
    rounds: u64,
    thread: u64,
    clients: Vec<Client>,
    sockets: Vec<TcpStream>,
    /// Requests of a round, made once.
    frames: BytesMut,
}

pub(super) const ATTACKS: &[Attack] = &[
    attack("oversized frames", oversized),
    attack("truncated frames", truncated),
    attack("random bytes", random_bytes),
    attack("every opcode, −128…127", every_opcode),
    attack("slow sockets (2,000)", slow),
    attack("deep paths (100,000 levels)", deep_paths),
    attack("multis of 100,000 writes", refused_multi),
    Attack {
        name: "multis of 10,000 writes",
        prepare: prepare_multi,
        round: huge_multi,
    },
    attack("sessions opened and dropped", reconnects),
    Attack {
        name: "lists of 100,000 children, taken",
        prepare: prepare_children,
        round: lists,
    },
    Attack {
        name: "lists of 100,000 children, not taken",
        prepare: prepare_children,
        round: lists_not_taken,
    },
    attack("watches set in a loop", watches),
    attack("100 sessions watching everything", watchers),
];

const fn attack(
    name: &'static str,
    round: fn(SocketAddr, &mut Held) -> anyhow::Result<()>,
) -> Attack {
    Attack {
        name,
        prepare: |_| Ok(()),
        round,
    }
}

impl Attack {
    /// Makes the znodes that it needs.
    pub(super) fn prepare(&self, server: SocketAddr) -> anyhow::Result<()> {
        (self.prepare)(server)
    }

    /// Attacks while `work` is done; gives what that gives, and the rounds of the attack.
    pub(super) fn beside<T>(
        &self,
        server: SocketAddr,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, u64)> {
        let (over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        let done = thread::scope(|scope| {
            for thread in 0..THREADS {
                let (over, rounds) = (&over, &rounds);
                scope.spawn(move || self.run(server, thread, over, rounds));
            }
            let done = work();
            over.store(true, Ordering::Relaxed);
            done
        })?;
        Ok((done, rounds.load(Ordering::Relaxed)))
    }

    fn run(&self, server: SocketAddr, thread: u64, over: &AtomicBool, rounds: &AtomicU64) {
        if let Err(error) = setpriority_process(None, NICE) {
            eprintln!("{}: cannot lower the priority: {error}", self.name);
        }
        let mut held = Held {
            random: StdRng::seed_from_u64(thread),
            rounds: 0,
            thread,
            clients: Vec::new(),
            sockets: Vec::new(),
            frames: BytesMut::new(),
        };
        while !over.load(Ordering::Relaxed) {
            // The server closes the connections of such clients as it sees fit.
            if (self.round)(server, &mut held).is_err() {
                held.clients.clear();
            }
            held.rounds += 1;
            rounds.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Held {
    /// The thread's session, opened anew if the last one ended.
    fn client(&mut self, server: SocketAddr) -> anyhow::Result<&mut Client> {
        if self.clients.is_empty() {
            self.clients.push(Client::open(server)?);
        }
        self.clients.first_mut().context("a session was opened")
    }

    /// Sends the round's requests and takes the replies, whatever they say.
    fn exchange(&mut self, server: SocketAddr, replies: usize) -> anyhow::Result<()> {
        let frames = std::mem::take(&mut self.frames);
        let exchanged = self.client(server).and_then(|client| {
            client.send(&frames)?;
            for _ in 0..replies {
                client.receive()?;
            }
            Ok(())
        });
        self.frames = frames;
        exchanged
    }
}

/// The values in turn.
fn nth<T: Copy>(values: &[T], round: u64) -> T {
    let mut values = values.iter().copied().cycle();
    let nth = usize::try_from(round % 64).expect("it is below 64");
    values.nth(nth).expect("there are values")
}

fn oversized(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    const LENGTHS: [i32; 5] = [-1, i32::MIN, i32::MAX, 4_097, 0x10_0000];
    let length = nth(&LENGTHS, held.rounds / 2);
    let mut bytes = match held.rounds % 2 {
        0 => BytesMut::new(),
        _ => handshake(),
    };
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[0; 64]);
    Ok(send_and_drain(server, &bytes)?)
}

fn truncated(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    let mut bytes = handshake();
    bytes.extend_from_slice(&frame(&create("/truncated".to_owned(), 500_000)));
    let end = held.random.random_range(1..bytes.len());
    bytes.truncate(end);
    Ok(send_and_drain(server, &bytes)?)
}

fn random_bytes(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    let mut bytes = match held.rounds % 2 {
        0 => BytesMut::new(),
        _ => handshake(),
    };
    let mut noise = vec![0; held.random.random_range(1..2_000)];
    held.random.fill_bytes(&mut noise);
    bytes.extend_from_slice(&noise);
    Ok(send_and_drain(server, &bytes)?)
}

fn every_opcode(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    const CONTENTS: [&[u8]; 4] = [
        b"",
        &[0; 8],
        &[0xff; 64],
        b"\0\0\0\x05/harm\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    let op = i32::try_from(held.rounds % 256)? - 128;
    let content = nth(&CONTENTS, held.rounds / 256);
    let mut bytes = handshake();
    bytes.extend_from_slice(&frame_of(OpCode(op), content));
    Ok(send_and_drain(server, &bytes)?)
}

/// Sends on each socket a handshake as long as is allowed, byte by byte, and opens those anew that
/// were closed.
fn slow(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    const LENGTH: i32 = 4_096;
    held.sockets
        .retain_mut(|socket| socket.write_all(&[0]).is_ok());
    while held.sockets.len() < SLOW_SOCKETS {
        let mut socket = socket(server)?;
        socket.write_all(&LENGTH.to_be_bytes())?;
        held.sockets.push(socket);
    }
    thread::sleep(Duration::from_millis(200));
    Ok(())
}

fn deep_paths(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    if held.frames.is_empty() {
        let path = "/d".repeat(100_000);
        for request in [
            create(path.clone(), 0),
            Request::GetData {
                path: path.clone(),
                watch: true,
            },
            Request::Exists {
                path: path.clone(),
                watch: true,
            },
            Request::GetAllChildrenNumber { path },
        ] {
            held.frames.extend_from_slice(&frame(&request));
        }
    }
    held.exchange(server, 4)
}

fn prepare_multi(server: SocketAddr) -> anyhow::Result<()> {
    Ok(Client::open(server)?.call(&create("/multi".to_owned(), 0))?)
}

fn multi(ops: usize) -> BytesMut {
    let write = MultiOp::SetData {
        path: "/multi".to_owned(),
        data: Some(Bytes::from_static(b"12345678")),
        version: -1,
    };
    frame(&Request::Multi(vec![write; ops]))
}

/// More than is allowed.
fn refused_multi(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    if held.frames.is_empty() {
        held.frames = handshake();
        held.frames.extend_from_slice(&multi(100_000));
    }
    Ok(send_and_drain(server, &held.frames)?)
}

fn huge_multi(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    if held.frames.is_empty() {
        held.frames = multi(MULTI_OPS);
    }
    held.exchange(server, 1)
}

fn reconnects(server: SocketAddr, _: &mut Held) -> anyhow::Result<()> {
    Ok(Client::open(server).map(drop)?)
}

fn prepare_children(server: SocketAddr) -> anyhow::Result<()> {
    let mut client = Client::open(server)?;
    client.call(&create("/children".to_owned(), 0))?;
    for first in (0..CHILDREN).step_by(500) {
        let mut frames = BytesMut::new();
        for child in first..first + 500 {
            frames.extend_from_slice(&frame(&create(format!("/children/{child:010}"), 0)));
        }
        client.send(&frames)?;
        for _ in 0..500 {
            client.receive_success()?;
        }
    }
    Ok(())
}

fn list_frames(held: &mut Held) {
    if held.frames.is_empty() {
        let list = frame(&Request::GetChildren {
            path: "/children".to_owned(),
            watch: false,
        });
        held.frames = BytesMut::from(list.repeat(PIPELINE).as_slice());
    }
}

fn lists(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    list_frames(held);
    held.exchange(server, PIPELINE)
}

fn lists_not_taken(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    list_frames(held);
    let frames = std::mem::take(&mut held.frames);
    let sent = held
        .client(server)
        .and_then(|client| Ok(client.send(&frames)?));
    held.frames = frames;
    if held.rounds % 16 == 15 {
        held.clients.clear();
    }
    thread::sleep(Duration::from_millis(20));
    sent
}

fn watches(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    held.frames.clear();
    for watch in 0..PIPELINE as u64 {
        let number = held.rounds * PIPELINE as u64 + watch;
        let request = Request::Exists {
            path: format!("/watched/{}/{number}", held.thread),
            watch: true,
        };
        held.frames.extend_from_slice(&frame(&request));
    }
    held.exchange(server, PIPELINE)
}

/// Sessions that are told of every write, and take the events now and then.
fn watchers(server: SocketAddr, held: &mut Held) -> anyhow::Result<()> {
    while held.clients.len() < WATCHERS {
        let mut client = Client::open(server)?;
        client.call(&Request::AddWatch(AddWatch {
            path: "/".to_owned(),
            mode: AddWatchMode::PersistentRecursive as i32,
        }))?;
        held.clients.push(client);
    }
    for client in &mut held.clients {
        client.drain(Duration::from_millis(1))?;
    }
    Ok(())
}
