//! One proxied connection.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Fault;
use crate::eventually::pause;

const CHUNK: usize = 64 * 1024;

/// How a connection, or one direction of it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The sender has no more to say; the other direction may go on.
    Finished,
    /// To be closed both ways.
    Close,
    /// To be reset (RST) both ways.
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

/// Relays between `client` and a new connection to `upstream` until either side or a fault ends it.
pub(super) async fn relay(
    mut client: TcpStream,
    upstream: SocketAddr,
    fault: watch::Sender<Fault>,
) {
    let end = match open(&mut client, upstream, &mut fault.subscribe()).await {
        Ok(mut server) => {
            let end = both_ways(&mut client, &mut server, &fault).await;
            if end == End::Reset {
                let _ = server.set_zero_linger();
            }
            end
        }
        Err(end) => end,
    };
    if end == End::Reset {
        let _ = client.set_zero_linger();
    }
}

/// Connects to the server, after a blackhole that swallowed nothing has gone.
async fn open(
    client: &mut TcpStream,
    upstream: SocketAddr,
    fault: &mut watch::Receiver<Fault>,
) -> Result<TcpStream, End> {
    client.set_nodelay(true).map_err(|_| End::Close)?;
    let mut buffer = [0; 4096];
    let mut lost = false;
    loop {
        let now = *fault.borrow_and_update();
        match now {
            Fault::Reset => return Err(End::Reset),
            Fault::RefuseConnections => return Err(End::Close),
            Fault::Blackhole => {}
            _ if lost => return Err(End::Reset),
            _ => break,
        }
        tokio::select! {
            changed = fault.changed() => changed.map_err(|_| End::Close)?,
            read = client.read(&mut buffer) => match read {
                Ok(read) if read > 0 => lost = true,
                _ => return Err(End::Close),
            },
        }
    }
    let server = TcpStream::connect(upstream).await.map_err(|_| End::Reset)?;
    server.set_nodelay(true).map_err(|_| End::Close)?;
    Ok(server)
}

async fn both_ways(
    client: &mut TcpStream,
    server: &mut TcpStream,
    fault: &watch::Sender<Fault>,
) -> End {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let requests = Pump::new(from_client, to_server, fault, Direction::Request).run();
    let answers = Pump::new(from_server, to_client, fault, Direction::Answer).run();
    tokio::pin!(requests, answers);
    tokio::select! {
        end = &mut requests => if end == End::Finished { answers.await } else { end },
        end = &mut answers => if end == End::Finished { requests.await } else { end },
    }
}

/// One direction of a connection.
///
/// What it holds back stays in here when a fault changes, so a change alone loses nothing.
struct Pump<'a, R, W> {
    reader: R,
    writer: W,
    fault: &'a watch::Sender<Fault>,
    direction: Direction,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and is still to be written.
    held: Range<usize>,
    /// Whether the held bytes have waited out their delay.
    waited: bool,
    /// Bytes passed since the fault was set.
    passed: u64,
    /// Whether a blackhole has swallowed anything.
    lost: bool,
}

impl<'a, R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Pump<'a, R, W> {
    fn new(reader: R, writer: W, fault: &'a watch::Sender<Fault>, direction: Direction) -> Self {
        let buffer = vec![0; CHUNK];
        Self {
            reader,
            writer,
            fault,
            direction,
            buffer,
            held: 0..0,
            waited: false,
            passed: 0,
            lost: false,
        }
    }

    async fn run(mut self) -> End {
        loop {
            let mut changes = self.fault.subscribe();
            let fault = *changes.borrow_and_update();
            match fault {
                Fault::Reset => return End::Reset,
                Fault::RefuseConnections => return End::Close,
                Fault::Blackhole => {}
                _ if self.lost => return End::Reset,
                _ => {}
            }
            let stepped = tokio::select! {
                changed = changes.changed() => match changed {
                    Ok(()) => {
                        self.passed = 0;
                        continue;
                    }
                    Err(_) => return End::Close,
                },
                stepped = self.step(fault) => stepped,
            };
            match stepped {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(_) => return End::Reset,
            }
        }
    }

    /// One read, wait or write; each can be given up half-way without losing a byte.
    async fn step(&mut self, fault: Fault) -> io::Result<Option<End>> {
        if self.held.is_empty() {
            return self.fill(fault).await;
        }
        match fault {
            Fault::DelayAnswers(delay) if self.direction == Direction::Answer && !self.waited => {
                pause(delay).await;
                self.waited = true;
                Ok(None)
            }
            Fault::Blackhole => {
                self.held = 0..0;
                self.lost = true;
                Ok(None)
            }
            Fault::Delay(delay) if !self.waited => {
                pause(delay).await;
                self.waited = true;
                Ok(None)
            }
            Fault::CutAfter(limit) if self.direction == Direction::Answer => self.cut(limit).await,
            Fault::CutRequestAfter(limit) if self.direction == Direction::Request => {
                self.cut(limit).await
            }
            Fault::LoseAnswer(text) if self.direction == Direction::Answer && self.holds(text) => {
                self.fault.send_replace(Fault::Reset);
                Ok(Some(End::Reset))
            }
            Fault::Throttle(rate) => {
                let slice = (rate / 20).clamp(1, CHUNK as u64);
                pause(Duration::from_secs_f64(slice as f64 / rate.max(1) as f64)).await;
                self.write(slice).await?;
                Ok(None)
            }
            _ => {
                self.write(CHUNK as u64).await?;
                Ok(None)
            }
        }
    }

    async fn fill(&mut self, fault: Fault) -> io::Result<Option<End>> {
        let read = self.reader.read(&mut self.buffer).await?;
        if read == 0 && fault == Fault::Blackhole {
            return Ok(Some(End::Close));
        }
        if read == 0 {
            self.writer.shutdown().await?;
            return Ok(Some(End::Finished));
        }
        self.held = 0..read;
        self.waited = false;
        Ok(None)
    }

    fn holds(&self, text: &str) -> bool {
        let mut windows = self.buffer[self.held.clone()].windows(text.len());
        windows.any(|window| window == text.as_bytes())
    }

    async fn cut(&mut self, limit: u64) -> io::Result<Option<End>> {
        if self.passed < limit {
            self.write(limit - self.passed).await?;
        }
        if self.passed < limit {
            return Ok(None);
        }
        self.writer.shutdown().await?;
        Ok(Some(End::Close))
    }

    async fn write(&mut self, most: u64) -> io::Result<()> {
        let most = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(self.held.len());
        let bytes = &self.buffer[self.held.start..self.held.start + most];
        let written = self.writer.write(bytes).await?;
        self.held.start += written;
        self.passed += written as u64;
        Ok(())
    }
}
