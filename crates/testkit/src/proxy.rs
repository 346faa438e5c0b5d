//! A TCP proxy that misbehaves on demand, in front of any server.

mod relay;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::eventually::{eventually_some, pause};

/// What a [`FaultProxy`] does to its connections, present ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Passes everything on.
    Pass,
    /// Closes the listening socket (ECONNREFUSED) and every connection, as a dead server's machine does.
    RefuseConnections,
    /// Accepts, reads, and never answers. A connection that lost bytes this way is reset when the fault ends.
    Blackhole,
    /// Holds every chunk back this long, in each direction.
    Delay(Duration),
    /// Holds every chunk of answers back this long; requests pass at once.
    DelayAnswers(Duration),
    /// Closes a connection once this many bytes of answers have passed on it since the fault was set.
    CutAfter(u64),
    /// Closes a connection once this many bytes of requests have passed on it since the fault was set.
    CutRequestAfter(u64),
    /// Loses the first answer that has this text, of any connection, and is [`Fault::Reset`] from then on: what was
    /// asked has been done, and nobody hears of it. Found in answers that arrive in one piece.
    LoseAnswer(&'static str),
    /// Resets (RST) every connection, new ones as soon as they are accepted.
    Reset,
    /// Passes at most this many bytes a second in each direction.
    Throttle(u64),
}

/// A TCP proxy on a port of its own, whose faults are switched while connections are open.
///
/// It lives in the runtime it was started in, and ends when dropped.
pub struct FaultProxy {
    addr: SocketAddr,
    orders: mpsc::UnboundedSender<Order>,
    connections: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

type Order = (Fault, oneshot::Sender<()>);

impl FaultProxy {
    /// Starts one in front of `upstream`, passing everything on.
    ///
    /// # Panics
    /// When no free port is found.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = eventually_some(
            Duration::from_secs(5),
            "a free port for the proxy",
            async || listen(SocketAddr::from((Ipv4Addr::LOCALHOST, crate::free_port()))).ok(),
        )
        .await;
        let addr = listener
            .local_addr()
            .expect("a listening socket has an address");
        let (orders, inbox) = mpsc::unbounded_channel();
        let (connections, accepted) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let acceptor = Acceptor {
            addr,
            upstream,
            fault: watch::Sender::new(Fault::Pass),
            relays: JoinSet::new(),
            connections: Arc::clone(&connections),
            accepted: Arc::clone(&accepted),
        };
        tokio::spawn(acceptor.run(listener, inbox));
        Self {
            addr,
            orders,
            connections,
            accepted,
        }
    }

    /// Where clients connect to; the same for the proxy's whole life.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Switches the fault, and returns when it applies: the listening socket is closed or open again,
    /// and connections that it ends have ended.
    pub async fn set(&self, fault: Fault) {
        let (done, applied) = oneshot::channel();
        let sent = self.orders.send((fault, done));
        sent.expect("the proxy runs in the runtime it was started in");
        applied
            .await
            .expect("the proxy runs in the runtime it was started in");
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many connections it has accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// The task behind a proxy: owns the listening socket and all connections.
struct Acceptor {
    addr: SocketAddr,
    upstream: SocketAddr,
    fault: watch::Sender<Fault>,
    relays: JoinSet<()>,
    connections: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

impl Acceptor {
    async fn run(mut self, listener: TcpListener, mut inbox: mpsc::UnboundedReceiver<Order>) {
        let mut listener = Some(listener);
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some((fault, done)) => {
                        listener = self.apply(fault, listener).await;
                        let _ = done.send(());
                    }
                    None => return,
                },
                client = accept(listener.as_ref()) => self.relay(client),
                Some(_) = self.relays.join_next() => {}
            }
        }
    }

    async fn apply(&mut self, fault: Fault, listener: Option<TcpListener>) -> Option<TcpListener> {
        let listener = match (fault, listener) {
            (Fault::RefuseConnections, listener) => {
                drop(listener);
                None
            }
            (_, Some(listener)) => Some(listener),
            (_, None) => Some(self.listen_again().await),
        };
        self.fault.send_replace(fault);
        if matches!(fault, Fault::RefuseConnections | Fault::Reset) {
            while self.relays.join_next().await.is_some() {}
        }
        listener
    }

    /// Waits for the port rather than moving to another one: clients know this address.
    async fn listen_again(&self) -> TcpListener {
        loop {
            match listen(self.addr) {
                Ok(listener) => return listener,
                Err(_) => pause(Duration::from_millis(5)).await,
            }
        }
    }

    fn relay(&mut self, client: TcpStream) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        let open = Open::count(&self.connections);
        let (upstream, fault) = (self.upstream, self.fault.clone());
        self.relays.spawn(async move {
            relay::relay(client, upstream, fault).await;
            drop(open);
        });
    }
}

/// Counts a connection for as long as it's open, also when its task is aborted.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(connections))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The next connection; never, while there is no listening socket.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            None => std::future::pending().await,
            Some(listener) => {
                if let Ok((client, _)) = listener.accept().await {
                    return client;
                }
            }
        }
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(1024)
}
