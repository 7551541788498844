//! Connections of browsers and players: how many there may be, and how long they may dawdle.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::patient::Patient;
use crate::hub::{Place, Viewer};

/// A request's head must be there by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often those who stopped reading are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// A page has more connections than that of its film.
const OF_A_PAGE: usize = 3;
/// Beside those that watch.
const MORE_CONNECTIONS: usize = 32;
/// After running out of files, for example.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How many may watch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// All together.
    pub viewers: usize,
    /// From one address. Without, 64, and none for this machine, where proxies are.
    pub viewers_of_address: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { viewers: 2000, viewers_of_address: None }
    }
}

impl Limits {
    fn of_address(&self, address: IpAddr) -> usize {
        const DEFAULT: usize = 64;
        match self.viewers_of_address {
            Some(limit) => limit,
            None if address.is_loopback() => self.viewers,
            None => DEFAULT,
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    address: IpAddr,
    place: Mutex<Option<Place>>,
    cut: Notify,
}

impl Connection {
    /// Whoever stops reading this viewer's film is let go.
    pub fn watches(&self, viewer: &Viewer) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(viewer.place());
    }

    fn has_lagged(&self) -> bool {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().is_some_and(Place::is_lost)
    }
}

#[derive(Debug, Default)]
struct Count {
    connections: usize,
    viewers: usize,
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    by_address: HashMap<IpAddr, Count>,
}

/// All connections.
#[derive(Debug)]
pub struct Connections {
    limits: Limits,
    counts: Mutex<Counts>,
    open: Mutex<Vec<Weak<Connection>>>,
}

/// A viewer's right to watch; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    connections: Arc<Connections>,
    address: IpAddr,
    /// Who watches the same channel.
    audience: Arc<AtomicUsize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.audience.fetch_sub(1, Ordering::Relaxed);
        self.connections.change(self.address, |count| count.viewers -= 1);
    }
}

impl Connections {
    pub fn new(limits: Limits) -> Self {
        Self { limits, counts: Mutex::default(), open: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who watches now.
    pub fn viewers(&self) -> usize {
        self.counts().all.viewers
    }

    /// A seat for a viewer in an audience; nothing if there is none left.
    pub fn seat(
        self: &Arc<Self>,
        connection: &Connection,
        audience: &Arc<AtomicUsize>,
    ) -> Option<Seat> {
        let address = connection.address;
        let mut counts = self.counts();
        let of_address = counts.by_address.get(&address).map_or(0, |count| count.viewers);
        if counts.all.viewers >= self.limits.viewers
            || of_address >= self.limits.of_address(address)
        {
            return None;
        }
        counts.change(address, |count| count.viewers += 1);
        audience.fetch_add(1, Ordering::Relaxed);
        Some(Seat { connections: self.clone(), address, audience: audience.clone() })
    }

    fn change(&self, address: IpAddr, change: impl Fn(&mut Count)) {
        self.counts().change(address, change);
    }

    /// Accepts for ever.
    pub async fn accept(self: Arc<Self>, listener: TcpListener, router: Router) {
        let watched = self.clone();
        tokio::spawn(async move { watched.let_go_who_stopped_reading().await });
        loop {
            match listener.accept().await {
                Ok((stream, from)) => self.clone().begin(stream, from, &router),
                Err(error) => {
                    log::warn!("a browser or player could not connect: {error}");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn begin(self: Arc<Self>, stream: TcpStream, from: SocketAddr, router: &Router) {
        let address = from.ip().to_canonical();
        let connections =
            |viewers: usize| viewers.saturating_mul(OF_A_PAGE).saturating_add(MORE_CONNECTIONS);
        let allowed = connections(self.limits.of_address(address));
        let all_allowed = connections(self.limits.viewers);
        {
            let mut counts = self.counts();
            let of_address = counts.by_address.get(&address).map_or(0, |count| count.connections);
            if of_address >= allowed || counts.all.connections >= all_allowed {
                return;
            }
            counts.change(address, |count| count.connections += 1);
        }
        let connection =
            Arc::new(Connection { address, place: Mutex::default(), cut: Notify::new() });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(Arc::downgrade(&connection));
        drop(open);
        let service = TowerToHyperService::new(router.clone().layer(Extension(connection.clone())));
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(Patient::new(stream)), service)
                .with_upgrades();
            tokio::select! {
                // What goes wrong with one connection is over with it.
                _ = serving => {}
                () = connection.cut.notified() => {}
            }
            self.change(address, |count| count.connections -= 1);
        });
    }

    async fn let_go_who_stopped_reading(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|connection| {
                let Some(connection) = connection.upgrade() else { return false };
                if connection.has_lagged() {
                    connection.cut.notify_one();
                }
                true
            });
        }
    }
}

impl Counts {
    fn change(&mut self, address: IpAddr, change: impl Fn(&mut Count)) {
        change(&mut self.all);
        let count = self.by_address.entry(address).or_default();
        change(count);
        if count.connections == 0 && count.viewers == 0 {
            self.by_address.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(address: &str) -> Connection {
        let address = address.parse().unwrap();
        Connection { address, place: Mutex::default(), cut: Notify::new() }
    }

    #[test]
    fn seats_are_counted_by_address_and_given_back() {
        let limits = Limits { viewers: 3, viewers_of_address: Some(2) };
        let connections = Arc::new(Connections::new(limits));
        let (near, far) = (connection("192.0.2.1"), connection("192.0.2.2"));
        let audience = Arc::default();
        let first = connections.seat(&near, &audience);
        let _second = connections.seat(&near, &audience);
        assert!(first.is_some() && connections.seat(&near, &audience).is_none());
        let _third = connections.seat(&far, &audience);
        assert!(connections.seat(&far, &audience).is_none(), "the house is full");
        drop(first);
        assert!(connections.seat(&far, &audience).is_some());
    }

    #[test]
    fn proxies_on_this_machine_may_bring_all_viewers() {
        let limits = Limits::default();
        assert_eq!(limits.of_address("127.0.0.1".parse().unwrap()), limits.viewers);
        assert!(limits.of_address("192.0.2.1".parse().unwrap()) < limits.viewers);
    }
}
