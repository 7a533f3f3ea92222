//! A relay of TCP connections: links that are slow, stall or break on demand,
//! and doors into network namespaces.
//!
//! The kernel's own tools for that (netem) are not everywhere. A relay delays
//! whole connections, bytes in order, as a congested link does; it loses
//! nothing, because TCP would send it again.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, oneshot},
};

use crate::{namespaces::Namespace, wait_for};

/// Pieces of one direction of a connection that are under way at once, and the
/// bytes of each: what is more waits with its sender.
const PIECES_MAX: usize = 256;
const PIECE_BYTES: usize = 16 * 1024;

/// Listens at one address and passes every connection on to another.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    links: Arc<Links>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Links {
    delay_ms: AtomicU64,
    open: Mutex<Vec<Arc<Link>>>,
}

/// One connection through a relay.
#[derive(Debug, Default)]
struct Link {
    closed: AtomicBool,
    stalled_until: Mutex<Option<Instant>>,
}

impl Relay {
    /// Passes on from `listen` to `target`.
    ///
    /// # Panics
    /// `listen` is taken.
    #[must_use]
    pub fn new(listen: SocketAddr, target: SocketAddr) -> Self {
        Self::start(listen, target, None)
    }

    /// Passes on from a free port of this namespace to `target` in another one.
    ///
    /// # Panics
    /// There is no such namespace.
    #[must_use]
    pub fn into_namespace(namespace: Namespace, target: SocketAddr) -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), target, Some(namespace))
    }

    fn start(listen: SocketAddr, target: SocketAddr, namespace: Option<Namespace>) -> Self {
        // Whoever tried whether the port is free has closed it, but a process that
        // another test is starting may hold a copy until it runs its program.
        let listener = wait_for(&format!("{listen} to be free"), || TcpListener::bind(listen).ok());
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let links = Arc::new(Links::default());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let links = links.clone();
            move || {
                // The listener stays where it was made; what is connected from
                // this thread on starts in the namespace.
                if let Some(namespace) = namespace {
                    namespace.enter();
                }
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    tokio::select! {
                        () = accept(listener, target, links) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Self { address, links, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Delays everything that is passed on from now on, each way.
    pub fn delay(&self, delay: Duration) {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap();
        self.links.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// How many connections are open.
    ///
    /// # Panics
    /// Another thread panicked.
    pub fn open(&self) -> usize {
        self.links.open().len()
    }

    /// Holds everything on one connection, both ways, for so long; `which` is
    /// counted from 0 and turns over.
    ///
    /// # Panics
    /// Another thread panicked.
    pub fn stall(&self, which: usize, time: Duration) {
        let open = self.links.open();
        if !open.is_empty() {
            open[which % open.len()].stall(time);
        }
    }

    /// As [`Relay::stall`], all connections.
    ///
    /// # Panics
    /// Another thread panicked.
    pub fn stall_all(&self, time: Duration) {
        for link in self.links.open() {
            link.stall(time);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It fails where the thread has panicked.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Links {
    fn open(&self) -> Vec<Arc<Link>> {
        let mut open = self.open.lock().unwrap();
        open.retain(|link| !link.closed.load(Ordering::Relaxed));
        open.clone()
    }
}

impl Link {
    fn stall(&self, time: Duration) {
        *self.stalled_until.lock().unwrap() = Some(Instant::now() + time);
    }

    /// Waits until nothing holds what was to arrive at `due`.
    async fn pass(&self, due: Instant) {
        let mut until = due;
        loop {
            tokio::time::sleep_until(until.into()).await;
            match *self.stalled_until.lock().unwrap() {
                Some(stalled) if stalled > Instant::now() => until = stalled,
                _ => return,
            }
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, target: SocketAddr, links: Arc<Links>) {
    loop {
        // A connection that is gone before it is taken is no reason to stop.
        let Ok((near, _)) = listener.accept().await else { continue };
        let link = Arc::new(Link::default());
        links.open.lock().unwrap().push(link.clone());
        let links = links.clone();
        tokio::spawn(async move {
            // Who cannot be reached is not there: the other side sees that.
            if let Ok(far) = TcpStream::connect(target).await {
                join(near, far, &links, &link).await;
            }
            link.closed.store(true, Ordering::Relaxed);
            links.open();
        });
    }
}

async fn join(near: TcpStream, far: TcpStream, links: &Links, link: &Link) {
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::join!(
        pass_on(near_read, far_write, links, link),
        pass_on(far_read, near_write, links, link),
    );
}

/// Passes one direction on, until either side ends it.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    links: &Links,
    link: &Link,
) {
    let (pieces, mut arrived) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let read = async move {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            let delay = Duration::from_millis(links.delay_ms.load(Ordering::Relaxed));
            if pieces.send((Instant::now() + delay, piece[..length].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = arrived.recv().await {
            link.pass(due).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
