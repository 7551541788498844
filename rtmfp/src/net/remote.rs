//! Reaching a running driver from other threads.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, TryRecvError},
    },
};

use mio::{Poll, Token, Waker};
use thiserror::Error;

/// The driver has stopped; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the driver has stopped")]
pub struct Stopped;

/// A handle to a running driver. When the last one is dropped, the driver stops.
#[derive(Debug)]
pub struct Remote<C> {
    // Dropped before the waker, so that the driver wakes to a closed channel.
    commands: Sender<Option<C>>,
    _wake_on_drop: Arc<WakeOnDrop>,
    waker: Arc<Waker>,
}

#[derive(Debug)]
struct WakeOnDrop(Arc<Waker>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        let _ = self.0.wake();
    }
}

impl<C> Clone for Remote<C> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            _wake_on_drop: self._wake_on_drop.clone(),
            waker: self.waker.clone(),
        }
    }
}

impl<C> Remote<C> {
    /// Hands a command to the application.
    pub fn send(&self, command: C) -> Result<(), Stopped> {
        self.push(Some(command))
    }

    /// Asks the driver to say goodbye and stop.
    pub fn stop(&self) -> Result<(), Stopped> {
        self.push(None)
    }

    fn push(&self, command: Option<C>) -> Result<(), Stopped> {
        self.commands.send(command).map_err(|_| Stopped)?;
        self.waker.wake().map_err(|_| Stopped)
    }
}

/// The driver's end.
#[derive(Debug)]
pub(super) struct Inbox<C> {
    commands: Receiver<Option<C>>,
    waker: Arc<Waker>,
}

impl<C> Inbox<C> {
    /// A command, or `None` for stop.
    pub fn try_recv(&self) -> Result<Option<C>, TryRecvError> {
        self.commands.try_recv()
    }

    pub fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }
}

pub(super) fn channel<C>(poll: &Poll, token: Token) -> io::Result<(Remote<C>, Inbox<C>)> {
    let waker = Arc::new(Waker::new(poll.registry(), token)?);
    let (sender, receiver) = std::sync::mpsc::channel();
    let wake_on_drop = Arc::new(WakeOnDrop(waker.clone()));
    let remote = Remote { commands: sender, _wake_on_drop: wake_on_drop, waker: waker.clone() };
    Ok((remote, Inbox { commands: receiver, waker }))
}
