//! Pushing channels onward, to servers that take RTMP: others' platforms, an archive, a second
//! site. All of a process on one thread.

mod onward;
mod target;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use crate::{hub::Hub, journal::Journal};
use onward::Push;
pub use target::PushTarget;

/// At the end, what was shown last is waited for this long.
const FAREWELL: Duration = Duration::from_secs(3);

/// What is true of a push.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PushState {
    /// Where to, without the key.
    pub target: String,
    /// It is taken there.
    pub live: bool,
    /// Bytes sent so far.
    pub bytes: u64,
    /// What goes wrong, in words.
    pub trouble: Option<String>,
}

/// Read by those who show it.
#[derive(Debug, Clone, Default)]
pub struct SharedPush(Arc<Mutex<PushState>>);

impl SharedPush {
    fn new(target: &PushTarget) -> Self {
        let state = PushState { target: target.to_string(), ..PushState::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// As it is now.
    pub fn get(&self) -> PushState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut PushState)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Pushes any number of channels. Dropped, it says goodbye.
#[derive(Debug)]
pub struct Pusher {
    pushes: Option<UnboundedSender<Push>>,
    thread: Option<JoinHandle<()>>,
    journal: Journal,
}

impl Pusher {
    /// Pushes nothing yet.
    pub fn start(journal: Journal) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (pushes, receiver) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("push".into())
            .spawn(move || runtime.block_on(run(receiver)))?;
        Ok(Self { pushes: Some(pushes), thread: Some(thread), journal })
    }

    /// Pushes what a channel shows from now on, until its hub is closed.
    pub fn add(&self, channel: &str, hub: &Hub, target: PushTarget) -> SharedPush {
        let state = SharedPush::new(&target);
        let push = Push {
            channel: channel.to_owned(),
            target,
            hub: hub.clone(),
            state: state.clone(),
            journal: self.journal.clone(),
        };
        if let Some(pushes) = &self.pushes {
            let _ = pushes.send(push);
        }
        state
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        self.pushes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(mut receiver: UnboundedReceiver<Push>) {
    let mut tasks = JoinSet::new();
    while let Some(push) = receiver.recv().await {
        // Those that are over are forgotten.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(push.run());
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all).await;
}
