//! Orders from other threads to the one that has the channels.

use std::sync::mpsc::{Receiver, Sender, channel};

use thiserror::Error;
use tokio::sync::oneshot;

use super::ChannelTable;
use crate::link::Waker;

/// What may be asked.
#[derive(Debug)]
pub enum Order {
    /// A channel is to be so: it is added or changed.
    Put(String, Box<ChannelTable>),
    /// It is to be no more.
    Remove(String),
    /// It is to run, or not.
    Run(String, bool),
    /// The file is to be read again.
    Reload,
}

/// Why an order was not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no such channel.
    #[error("there is no channel '{0}'")]
    Unknown(String),
    /// It makes no sense, in words.
    #[error("{0}")]
    Wrong(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

/// An order, and where the answer goes.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub order: Order,
    /// Where to.
    pub answer: oneshot::Sender<Result<(), Refusal>>,
}

/// Gives orders.
#[derive(Debug, Clone)]
pub struct Control {
    requests: Sender<Request>,
    waker: Waker,
}

impl Control {
    /// With what comes out at the other end.
    pub fn new(waker: Waker) -> (Self, Receiver<Request>) {
        let (requests, receiver) = channel();
        (Self { requests, waker }, receiver)
    }

    /// Gives an order and waits for the answer.
    pub async fn order(&self, order: Order) -> Result<(), Refusal> {
        let over = || Refusal::Wrong("flvcast is about to end".into());
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { order, answer }).map_err(|_| over())?;
        self.waker.wake();
        answered.await.map_err(|_| over())?
    }
}
