//! All that waits for something, on one thread: a task goes on when a descriptor can be read, when
//! time has passed, or when somebody nudges it. What must block for a while does so on a thread that
//! it has as long as it needs it, so that neither threads nor delays grow with the number of tasks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token, Waker};

/// Steps of a task before others have their turn.
const STEPS: usize = 64;
/// Nobody waits for longer without being looked at.
const LONGEST: Duration = Duration::from_secs(60);
/// A thread that cannot be had is asked for again after this.
const RETRY: Duration = Duration::from_secs(1);
const WAKER: Token = Token(usize::MAX);

/// Something that goes on step by step.
pub trait Task: Send {
    /// Does the next step; waits for nothing, unless it [`blocks`](Self::blocks).
    fn step(&mut self) -> Turn;

    /// Whether the next step may take long.
    fn blocks(&self) -> bool {
        false
    }
}

/// When the next step is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At once.
    Again,
    /// After that time, or a nudge.
    Rest(Duration),
    /// When that can be read, or after that time, or a nudge. It was read until it would block.
    Read(Readable, Duration),
    /// Never.
    Over,
}

/// A descriptor that a task owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readable(#[cfg(unix)] std::os::fd::RawFd);

impl Readable {
    /// It must stay open as long as it is waited for.
    #[cfg(unix)]
    pub fn of(descriptor: &impl std::os::fd::AsRawFd) -> Self {
        Self(descriptor.as_raw_fd())
    }

    #[cfg(not(unix))]
    pub fn of<T>(_: &T) -> Self {
        Self()
    }

    /// Has it watched from now on, once.
    #[cfg(unix)]
    fn watch(self, poll: &Poll, token: Token) -> io::Result<()> {
        let mut source = mio::unix::SourceFd(&self.0);
        let interest = mio::Interest::READABLE;
        match poll.registry().reregister(&mut source, token, interest) {
            Ok(()) => Ok(()),
            Err(_) => poll.registry().register(&mut source, token, interest),
        }
    }

    #[cfg(not(unix))]
    fn watch(self, _: &Poll, _: Token) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[derive(Default)]
struct Inbox {
    /// New, or back from a thread of their own.
    tasks: Vec<(usize, Box<dyn Task>, Turn)>,
    /// They ended there.
    ended: Vec<usize>,
    nudged: Vec<usize>,
    next: usize,
    /// The thread was woken, and has not looked yet.
    is_woken: bool,
}

struct Shared {
    inbox: Mutex<Inbox>,
    waker: Waker,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, tell: impl FnOnce(&mut Inbox)) {
        let mut inbox = self.lock();
        tell(&mut inbox);
        if !std::mem::replace(&mut inbox.is_woken, true) {
            drop(inbox);
            if let Err(error) = self.waker.wake() {
                log::error!("the crew cannot be woken: {error}");
            }
        }
    }
}

/// Wakes a task.
#[derive(Clone)]
pub struct Nudge {
    id: usize,
    shared: Arc<Shared>,
}

impl Nudge {
    /// Its next step is due now.
    pub fn nudge(&self) {
        self.shared.tell(|inbox| inbox.nudged.push(self.id));
    }
}

impl fmt::Debug for Nudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nudge({})", self.id)
    }
}

/// Begins a task, which is made with what wakes it. The crew's thread is there from the first task
/// on, and stays.
pub fn spawn<T>(make: impl FnOnce(Nudge) -> (Box<dyn Task>, T)) -> io::Result<T> {
    static CREW: OnceLock<io::Result<Arc<Shared>>> = OnceLock::new();
    let shared = match CREW.get_or_init(begin) {
        Ok(shared) => shared.clone(),
        Err(error) => return Err(io::Error::new(error.kind(), error.to_string())),
    };
    let id = {
        let mut inbox = shared.lock();
        inbox.next += 1;
        inbox.next
    };
    let (task, made) = make(Nudge { id, shared: shared.clone() });
    shared.tell(|inbox| inbox.tasks.push((id, task, Turn::Again)));
    Ok(made)
}

fn begin() -> io::Result<Arc<Shared>> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKER)?;
    let shared = Arc::new(Shared { inbox: Mutex::default(), waker });
    let crew = Crew {
        shared: shared.clone(),
        poll,
        waiting: BTreeMap::new(),
        away: BTreeMap::new(),
        dues: BinaryHeap::new(),
        ready: BTreeSet::new(),
    };
    std::thread::Builder::new().name("crew".into()).spawn(move || crew.run())?;
    Ok(shared)
}

struct Waiting {
    task: Box<dyn Task>,
    due: Instant,
}

/// What the thread has.
struct Crew {
    shared: Arc<Shared>,
    poll: Poll,
    waiting: BTreeMap<usize, Waiting>,
    /// On threads of their own, and whether they were nudged meanwhile.
    away: BTreeMap<usize, bool>,
    /// When tasks are due; those that have changed since are passed over.
    dues: BinaryHeap<Reverse<(Instant, usize)>>,
    ready: BTreeSet<usize>,
}

impl Crew {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            let now = Instant::now();
            let due = self.dues.peek().map_or(now + LONGEST, |Reverse((due, _))| *due);
            let patience = match self.ready.is_empty() {
                true => due.saturating_duration_since(now),
                false => Duration::ZERO,
            };
            if let Err(error) = self.poll.poll(&mut events, Some(patience))
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("the crew cannot wait: {error}");
                std::thread::sleep(Duration::from_millis(10));
            }
            let tokens = events.iter().map(mio::event::Event::token);
            self.ready.extend(tokens.filter(|token| *token != WAKER).map(|token| token.0));
            self.look_into_inbox();
            self.look_at_clock();
            for id in std::mem::take(&mut self.ready) {
                self.go_on(id);
            }
        }
    }

    fn look_into_inbox(&mut self) {
        let Inbox { tasks, ended, nudged, .. } = {
            let mut inbox = self.shared.lock();
            inbox.is_woken = false;
            let next = inbox.next;
            std::mem::replace(&mut *inbox, Inbox { next, ..Inbox::default() })
        };
        for id in ended {
            self.away.remove(&id);
        }
        for (id, task, turn) in tasks {
            let was_nudged = self.away.remove(&id).unwrap_or(false);
            self.wait(id, task, if was_nudged { Turn::Again } else { turn });
        }
        for id in nudged {
            match self.away.get_mut(&id) {
                Some(was_nudged) => *was_nudged = true,
                None => drop(self.ready.insert(id)),
            }
        }
    }

    fn look_at_clock(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, id))) = self.dues.peek().copied()
            && due <= now
        {
            self.dues.pop();
            if self.waiting.get(&id).is_some_and(|waiting| waiting.due == due) {
                self.ready.insert(id);
            }
        }
    }

    /// Puts a task where it waits for its next step.
    fn wait(&mut self, id: usize, task: Box<dyn Task>, turn: Turn) {
        let rest = match turn {
            Turn::Over => return,
            Turn::Again => {
                self.ready.insert(id);
                LONGEST
            }
            Turn::Rest(rest) => rest,
            Turn::Read(readable, rest) => match readable.watch(&self.poll, Token(id)) {
                Ok(()) => rest,
                Err(error) => {
                    log::debug!("a descriptor cannot be waited for: {error}");
                    rest.min(Duration::from_millis(10))
                }
            },
        };
        let due = Instant::now() + rest.min(LONGEST);
        self.dues.push(Reverse((due, id)));
        self.waiting.insert(id, Waiting { task, due });
    }

    fn go_on(&mut self, id: usize) {
        let Some(Waiting { mut task, .. }) = self.waiting.remove(&id) else { return };
        for _ in 0..STEPS {
            if task.blocks() {
                return self.send_away(id, task);
            }
            match step(&mut *task) {
                Turn::Again => {}
                turn => return self.wait(id, task, turn),
            }
        }
        self.wait(id, task, Turn::Again);
    }

    fn send_away(&mut self, id: usize, task: Box<dyn Task>) {
        // The task is back if there is no thread for it.
        let parcel = Arc::new(Mutex::new(Some(task)));
        let (taken, shared) = (parcel.clone(), self.shared.clone());
        let started = std::thread::Builder::new().name("source".into()).spawn(move || {
            let task = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                go_alone(&shared, id, task);
            }
        });
        match started {
            Ok(_) => drop(self.away.insert(id, false)),
            Err(error) => {
                log::warn!("no thread for a source: {error}; trying again");
                let task = parcel.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(task) = task {
                    self.wait(id, task, Turn::Rest(RETRY));
                }
            }
        }
    }
}

/// On a thread of its own, until it need not block any more.
fn go_alone(shared: &Shared, id: usize, mut task: Box<dyn Task>) {
    let turn = loop {
        match step(&mut *task) {
            Turn::Again if task.blocks() => {}
            Turn::Over => {
                drop(task);
                return shared.tell(|inbox| inbox.ended.push(id));
            }
            turn => break turn,
        }
    };
    shared.tell(|inbox| inbox.tasks.push((id, task, turn)));
}

/// One that breaks ends; others do not notice.
fn step(task: &mut dyn Task) -> Turn {
    catch_unwind(AssertUnwindSafe(|| task.step())).unwrap_or(Turn::Over)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    struct Scripted {
        turns: Vec<Turn>,
        blocks: bool,
        told: Sender<(usize, String)>,
    }

    impl Task for Scripted {
        fn step(&mut self) -> Turn {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            let _ = self.told.send((self.turns.len(), thread));
            self.turns.pop().unwrap_or_else(|| panic!("it breaks"))
        }

        fn blocks(&self) -> bool {
            self.blocks && self.turns.len() == 2
        }
    }

    #[test]
    fn tasks_rest_are_nudged_and_block_elsewhere() {
        let (told, hears) = channel();
        let turns = vec![Turn::Over, Turn::Again, Turn::Again, Turn::Rest(LONGEST)];
        let scripted = Scripted { turns, blocks: true, told };
        let nudge = spawn(|nudge| (Box::new(scripted), nudge)).unwrap();
        let heard = || hears.recv_timeout(SOON).unwrap();
        assert_eq!(heard(), (4, "crew".into()));
        assert!(hears.recv_timeout(Duration::from_millis(50)).is_err(), "it rests");
        nudge.nudge();
        let rest = [heard(), heard(), heard()];
        assert_eq!(rest.map(|(_, thread)| thread), ["crew", "source", "crew"]);
        assert!(hears.recv_timeout(SOON).is_err(), "it is over");
    }

    #[test]
    fn one_that_breaks_disturbs_nobody_and_what_can_be_read_is_read() {
        let (told, hears) = channel();
        let broken = Scripted { turns: Vec::new(), blocks: false, told: told.clone() };
        spawn(|_| (Box::new(broken), ())).unwrap();
        assert_eq!(hears.recv_timeout(SOON).unwrap().0, 0);
        let (mut writer, reader) = std::os::unix::net::UnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let turns = vec![Turn::Over, Turn::Read(Readable::of(&reader), LONGEST)];
        spawn(|_| (Box::new(Scripted { turns, blocks: false, told }), ())).unwrap();
        assert_eq!(hears.recv_timeout(SOON).unwrap().0, 2);
        assert!(hears.recv_timeout(Duration::from_millis(50)).is_err());
        io::Write::write_all(&mut writer, b"x").unwrap();
        assert_eq!(hears.recv_timeout(SOON).unwrap().0, 1);
    }
}
