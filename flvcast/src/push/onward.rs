//! One push: connects, publishes what is shown, and tries again for ever when that breaks.

use std::{sync::Arc, time::Duration};

use rtmfp::rtmp::{
    Message, MessageType,
    tcp::{ClientEvent, ClientSession},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use super::{PushTarget, SharedPush};
use crate::{
    flv::{Part, Tag, TagKind, metadata},
    hub::{Followed, Follower, Hub, Taken},
    journal::{Journal, Line},
    say::plain,
};

/// To connect, and to be accepted.
const PATIENCE: Duration = Duration::from_secs(15);
/// A server that takes nothing for so long is gone.
const STALL: Duration = Duration::from_secs(20);
/// Who is slower than the stream goes on with the newest when so far behind.
const MAX_LAG: Duration = Duration::from_secs(10);
/// Before the next try; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Sent in one go.
const MAX_TAGS: usize = 64;

/// A connection, encrypted or not.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// What is pushed, and where to.
#[derive(Debug)]
pub struct Push {
    pub channel: String,
    pub target: PushTarget,
    pub hub: Hub,
    pub state: SharedPush,
    pub journal: Journal,
}

impl Push {
    /// Until nothing more is shown.
    pub async fn run(self) {
        let mut pause = FIRST_PAUSE;
        while self.has_something().await {
            let Err(why) = self.connect().await else { return };
            let why = self.without_key(&why);
            let was_live = self.state.get().live;
            if was_live {
                pause = FIRST_PAUSE;
            }
            let text = format!("cannot push to {}: {why}", self.target);
            if was_live || self.state.get().trouble.as_ref() != Some(&text) {
                self.say(Line::Trouble, format!("{text}. Trying again"));
            }
            self.state.change(|state| (state.live, state.trouble) = (false, Some(text)));
            if timeout(pause, self.is_over()).await.is_ok() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Servers may repeat the key in what they say.
    fn without_key(&self, why: &str) -> String {
        let key = &self.target.key;
        let name = key.split_once('?').map_or(key.as_str(), |(name, _)| name);
        plain(&why.replace(key, "…").replace(name, "…"))
    }

    fn say(&self, kind: Line, text: String) {
        self.journal.of(&self.channel).say(kind, text);
    }

    async fn is_over(&self) {
        while !self.hub.is_over() {
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits for something to push. False if nothing will come.
    async fn has_something(&self) -> bool {
        loop {
            let news = self.hub.news();
            tokio::pin!(news);
            news.as_mut().enable();
            if !self.hub.headers().is_empty() || self.hub.is_over() {
                return !self.hub.is_over();
            }
            news.await;
        }
    }

    async fn connect(&self) -> Result<(), String> {
        let PushTarget { url, app, key, .. } = &self.target;
        let late = |_| "no answer".to_owned();
        let stream = timeout(PATIENCE, dial(&self.target)).await.map_err(late)??;
        let session = ClientSession::publish(url, app, key, rand::random());
        let mut connection = Connection { stream, session };
        timeout(PATIENCE, connection.begin()).await.map_err(late)??;
        self.say(Line::Event, format!("pushed to {}", self.target));
        self.state.change(|state| (state.live, state.trouble) = (true, None));
        self.publish(&mut connection).await
    }

    async fn publish(&self, connection: &mut Connection) -> Result<(), String> {
        let mut passage = Passage::new(&self.hub);
        let mut followed = Vec::new();
        loop {
            let news = self.hub.news();
            tokio::pin!(news);
            news.as_mut().enable();
            let taken = passage.follower.take(MAX_TAGS, &mut followed);
            for next in followed.drain(..) {
                passage.pass(&next, &mut connection.session);
            }
            let sent = connection.flush().await?;
            self.state.change(|state| state.bytes += sent);
            match taken {
                Taken::Over => {
                    connection.session.unpublish();
                    connection.flush().await?;
                    let _ = connection.stream.shutdown().await;
                    return Ok(());
                }
                Taken::UpToDate | Taken::Early => tokio::select! {
                    () = news => {}
                    read = connection.read() => read?,
                },
                Taken::More | Taken::Lagged => {}
            }
            if taken == Taken::Lagged || passage.is_too_slow(&self.hub) {
                let text =
                    format!("{} is too slow for the stream; a part is left out", self.target);
                self.say(Line::Trouble, text);
                passage.skip(&self.hub);
            }
        }
    }
}

/// The programme on its way.
struct Passage {
    follower: Follower,
    /// The time that is zero to the server.
    zero: Option<u64>,
    /// The headers were sent, and something to begin with.
    has_begun: bool,
    /// The number of that.
    begun: Option<u64>,
}

impl Passage {
    fn new(hub: &Hub) -> Self {
        let begun = hub.latest_opening();
        Self { follower: hub.follow_live(), zero: None, has_begun: false, begun }
    }

    /// Whether there is something newer to go on with, and need to.
    fn is_too_slow(&self, hub: &Hub) -> bool {
        self.follower.lag() > MAX_LAG && hub.latest_opening() > self.begun
    }

    /// Goes on with the newest.
    fn skip(&mut self, hub: &Hub) {
        self.begun = hub.latest_opening();
        (self.follower, self.has_begun) = (hub.follow_live(), false);
    }

    fn pass(&mut self, next: &Followed, session: &mut ClientSession) {
        let zero = *self.zero.get_or_insert(next.shown.time);
        let time = next.shown.time.saturating_sub(zero) as u32;
        if let Some(headers) = next.headers.as_ref().filter(|_| !self.has_begun) {
            self.has_begun = true;
            headers.tags().for_each(|header| session.publish_message(to_message(header, time)));
        }
        if self.has_begun {
            session.publish_message(to_message(&next.shown.tag, time));
        }
    }
}

/// Metadata as publishers send it, so that the server keeps it for newcomers.
fn to_message(tag: &Tag, timestamp: u32) -> Message {
    let is_metadata = tag.kind == TagKind::Script && tag.anatomy().part == Part::Metadata;
    let payload = if is_metadata { metadata::to_keep(&tag.payload) } else { tag.payload.clone() };
    Message { kind: MessageType(tag.kind as u8), timestamp, payload }
}

struct Connection {
    stream: Box<dyn Wire>,
    session: ClientSession,
}

impl Connection {
    /// Until what is published is taken.
    async fn begin(&mut self) -> Result<(), String> {
        loop {
            self.flush().await?;
            while let Some(event) = self.session.poll_event() {
                match event {
                    ClientEvent::Started => return Ok(()),
                    ClientEvent::Refused(why) => return Err(format!("the server refuses: {why}")),
                    ClientEvent::Message(_) | ClientEvent::Ended => {}
                }
            }
            self.read_bytes().await?;
        }
    }

    /// Sends what is to be sent; how much that was.
    async fn flush(&mut self) -> Result<u64, String> {
        let Some(bytes) = self.session.poll_transmit() else { return Ok(0) };
        match timeout(STALL, self.stream.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(bytes.len() as u64),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the server takes nothing".into()),
        }
    }

    /// What the server says meanwhile.
    async fn read(&mut self) -> Result<(), String> {
        self.read_bytes().await?;
        while let Some(event) = self.session.poll_event() {
            if let ClientEvent::Refused(why) = event {
                return Err(format!("the server refuses: {why}"));
            }
        }
        Ok(())
    }

    async fn read_bytes(&mut self) -> Result<(), String> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk).await {
            Ok(0) => {
                Err("the server has closed the connection, as it does when the key is wrong".into())
            }
            Ok(count) => {
                self.session.handle_bytes(&chunk[..count]).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn dial(target: &PushTarget) -> Result<Box<dyn Wire>, String> {
    let address = (target.host.as_str(), target.port);
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let _ = stream.set_nodelay(true);
    if !target.is_tls {
        return Ok(Box::new(stream));
    }
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    Ok(Box::new(stream))
}
