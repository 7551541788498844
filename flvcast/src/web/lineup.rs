//! The channels that a server shows; they come and go while it runs.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{figures::Figures, film::Ticks, hls::Packager};
use crate::{
    hub::{Hub, Memory},
    record::Shelf,
};

/// Makes the figures when asked.
pub type FigureSource = Box<dyn Fn() -> Figures + Send + Sync>;

/// A channel as its viewers see it.
pub struct Exhibit {
    /// In URLs.
    pub name: String,
    title: Mutex<Option<String>>,
    /// Its programme.
    pub hub: Hub,
    figures: FigureSource,
    shelf: Option<Arc<Shelf>>,
    packager: Packager,
    ticks: OnceLock<Arc<Ticks>>,
    viewers: Arc<AtomicUsize>,
}

impl fmt::Debug for Exhibit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exhibit({})", self.name)
    }
}

impl Exhibit {
    /// A channel that nobody watches yet.
    pub fn new(name: String, title: Option<String>, hub: Hub, figures: FigureSource) -> Self {
        let (ticks, viewers, title) = (OnceLock::new(), Arc::default(), Mutex::new(title));
        Self {
            name,
            title,
            hub,
            figures,
            shelf: None,
            packager: Packager::default(),
            ticks,
            viewers,
        }
    }

    /// What was kept of a channel that does not run.
    pub fn of_shelf(name: &str, title: Option<String>, shelf: Shelf) -> Self {
        let hub = Hub::new(Memory::LIVE);
        hub.close();
        let (channel, since) = (name.to_owned(), Instant::now());
        let figures = move || Figures::of_nothing(&channel, since.elapsed());
        Self::new(name.to_owned(), title, hub, Box::new(figures)).with_shelf(Some(Arc::new(shelf)))
    }

    /// For people, if it is not the name.
    pub fn title(&self) -> Option<String> {
        self.title.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is called otherwise from now on.
    pub fn set_title(&self, title: Option<String>) {
        *self.title.lock().unwrap_or_else(PoisonError::into_inner) = title;
    }

    /// With what is kept of it in files.
    pub fn with_shelf(self, shelf: Option<Arc<Shelf>>) -> Self {
        Self { shelf, ..self }
    }

    /// What is kept of it in files.
    pub fn shelf(&self) -> Option<&Arc<Shelf>> {
        self.shelf.as_ref()
    }

    /// Its segments.
    pub(super) fn packager(&self) -> &Packager {
        &self.packager
    }

    /// What is told of it now.
    pub fn figures(&self) -> Figures {
        let http_viewers = self.viewers.load(Ordering::Relaxed);
        let (title, kept_ms) = (self.title(), self.hub.kept().as_millis() as u64);
        Figures { http_viewers, title, kept_ms, ..(self.figures)() }
    }

    /// Counts those who watch by HTTP.
    pub fn viewers(&self) -> &Arc<AtomicUsize> {
        &self.viewers
    }

    /// What wakes its viewers; within the server's runtime.
    pub(super) fn ticks(&self) -> Arc<Ticks> {
        let begin = || {
            let (ticks, hub) = (Arc::<Ticks>::default(), self.hub.clone());
            let running = ticks.clone();
            tokio::spawn(async move { running.run(&hub).await });
            ticks
        };
        self.ticks.get_or_init(begin).clone()
    }
}

/// All of them, by name; shared by the server and by who changes it.
#[derive(Debug, Clone, Default)]
pub struct Lineup {
    exhibits: Arc<RwLock<BTreeMap<String, Arc<Exhibit>>>>,
}

impl Lineup {
    /// Shows a channel, in the place of one of its name.
    pub fn add(&self, exhibit: Exhibit) {
        let mut exhibits = self.exhibits.write().unwrap_or_else(PoisonError::into_inner);
        exhibits.insert(exhibit.name.clone(), Arc::new(exhibit));
    }

    /// Shows it no more; who watches gets the rest.
    pub fn remove(&self, name: &str) {
        self.exhibits.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The channel of a name.
    pub fn get(&self, name: &str) -> Option<Arc<Exhibit>> {
        self.exhibits.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Exhibit>> {
        self.exhibits.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
