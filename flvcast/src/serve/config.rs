//! What `flvcast serve` reads: a TOML file with a table for each channel.

mod forms;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use netgroup::GroupSpec;
use rtmfp::ServerUrl;
use serde::Deserialize;

use crate::{
    Error,
    channel::{DEFAULT_PREFIX, DEFAULT_STREAM, channel_group},
    flv::metadata::MAX_QUALITIES,
    hub::Memory,
    record::RecordConfig,
    source::{Plan, Quality, SourceSpec},
    station::{ChannelConfig, Role, StandInConfig},
    web::{Limits, Token, WebConfig, is_reserved},
};
use forms::{
    a_size, console_addresses, duration, http_addresses, maybe_parsed, maybe_size, one_or_many,
    parsed,
};

/// A file larger than this is none of ours.
const MAX_SIZE: u64 = 4 << 20;
/// Bytes of a channel's name.
const MAX_NAME: usize = 200;

/// The file.
///
/// ```toml
/// server = "rtmfp://localhost"
/// http = ":8080"                 # pages and films for viewers
/// console = "localhost:8090"     # charts, start and stop for the operator
///
/// [channel.lectures]
/// title = "Lectures"
/// source = "rtmp-listen://:1935/live/SECRET"
/// fallback = "test-card.flv"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileConfig {
    /// The rendezvous server.
    #[serde(deserialize_with = "parsed")]
    pub server: ServerUrl,
    /// Where viewers find pages and films; without, nowhere.
    #[serde(default, deserialize_with = "http_addresses")]
    pub http: Vec<SocketAddr>,
    /// Where the operator finds the console; without, nowhere.
    #[serde(default, deserialize_with = "console_addresses")]
    pub console: Vec<SocketAddr>,
    /// What viewers must show, if anything.
    #[serde(default, deserialize_with = "maybe_parsed")]
    pub token: Option<Token>,
    /// What the operator must show; needed where the console is not on loopback.
    #[serde(default, deserialize_with = "maybe_parsed")]
    pub operator_token: Option<Token>,
    /// How many may watch by HTTP, all channels together.
    #[serde(default = "most_viewers")]
    pub max_viewers: usize,
    /// How many of them from one address.
    pub max_viewers_per_address: Option<usize>,
    /// Where the charts are kept over restarts.
    pub state: Option<PathBuf>,
    /// In which country an address is: a file of MaxMind's form.
    pub places: Option<PathBuf>,
    /// What all channels together may keep in memory for viewers who go back.
    #[serde(default = "replay_memory", deserialize_with = "a_size")]
    pub replay_memory: u64,
    /// How channels are kept that are to be recorded.
    pub record: Option<RecordTable>,
    /// The channels, by name.
    #[serde(default, rename = "channel")]
    pub channels: BTreeMap<String, ChannelTable>,
}

/// How channels are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecordTable {
    /// A folder in which each channel has one.
    pub folder: PathBuf,
    /// A file is that long.
    #[serde(default = "hour", deserialize_with = "duration")]
    pub segment: Duration,
    /// What a channel's files may take together, as 20G or 500M; the oldest go first.
    #[serde(default, deserialize_with = "maybe_size")]
    pub space: Option<u64>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChannelTable {
    /// For people.
    pub title: Option<String>,
    /// What is cast, one after the other; without, the channel is watched.
    #[serde(default, deserialize_with = "one_or_many")]
    pub source: Vec<String>,
    /// From the first again after the last.
    #[serde(default, rename = "loop")]
    pub repeats: bool,
    /// Files are still being written.
    #[serde(default)]
    pub follow: bool,
    /// Of a playlist with several qualities: best, worst, 720p, 800k, 2M.
    #[serde(default, deserialize_with = "parsed")]
    pub quality: Quality,
    /// Channels on which the same is cast in lower qualities, from the better to the worse.
    #[serde(default, deserialize_with = "one_or_many")]
    pub qualities: Vec<String>,
    /// A channel that is watched: whether a lower quality is watched when too little arrives.
    #[serde(default = "yes")]
    pub adaptive: bool,
    /// Plays while the sources give nothing.
    pub fallback: Option<String>,
    /// How long a swarm that is watched may be silent before that plays.
    #[serde(default = "patience", deserialize_with = "duration")]
    pub patience: Duration,
    /// How far viewers can go back.
    #[serde(default = "replay", deserialize_with = "duration")]
    pub replay: Duration,
    /// Whether it is kept in files.
    #[serde(default)]
    pub record: bool,
    /// Servers that it is pushed to by RTMP.
    #[serde(default, deserialize_with = "one_or_many")]
    pub push: Vec<String>,
    /// Whether it is to run from the start.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Another group than the channel's own.
    #[serde(default, deserialize_with = "maybe_parsed")]
    pub groupspec: Option<GroupSpec>,
    /// What the name is prefixed with to make its group.
    #[serde(default = "prefix")]
    pub group_prefix: String,
    /// The stream's name in the group.
    #[serde(default = "stream")]
    pub stream: String,
}

impl FileConfig {
    /// No channels, and no pages.
    #[cfg(feature = "demo")]
    pub fn new(server: ServerUrl) -> Self {
        Self {
            server,
            http: Vec::new(),
            console: Vec::new(),
            token: None,
            operator_token: None,
            max_viewers: most_viewers(),
            max_viewers_per_address: None,
            state: None,
            places: None,
            replay_memory: replay_memory(),
            record: None,
            channels: BTreeMap::new(),
        }
    }

    /// Reads a file; an error says where in it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |error: std::io::Error| {
            Error::Usage(format!("cannot read {}: {error}; check the path", path.display()))
        };
        if path.metadata().map_err(failed)?.len() > MAX_SIZE {
            return Err(Error::Usage(format!("{} is too large to be ours", path.display())));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let wrong = |error: &dyn std::fmt::Display| {
            let text = error.to_string();
            Error::Usage(format!("{}: {}", path.display(), text.trim_end()))
        };
        let config: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        config.check().map_err(|error| wrong(&error))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let is_open = self.console.iter().any(|address| !address.ip().is_loopback());
        if is_open && self.operator_token.is_none() {
            return Err("console: others can reach this address; set operator-token as well, or \
                        take localhost"
                .into());
        }
        let mut claims = BTreeMap::new();
        for (name, table) in &self.channels {
            let config =
                self.channel(name, table).map_err(|why| format!("channel.{name}: {why}"))?;
            let exists = |lower: &str| self.channels.contains_key(lower);
            table.check_qualities(exists).map_err(|why| format!("channel.{name}: {why}"))?;
            for claim in config.claims() {
                let what = claim.to_string();
                if let Some(other) = claims.insert(claim, name) {
                    return Err(format!("channel.{name}: '{other}' has the same {what}"));
                }
            }
        }
        Ok(())
    }

    /// What a channel is to be; an error names the key.
    pub fn channel(&self, name: &str, table: &ChannelTable) -> Result<ChannelConfig, String> {
        let record = match (&self.record, table.record) {
            (_, false) => None,
            (None, true) => return Err("record: say where, by folder in [record]".into()),
            (Some(record), true) => Some(RecordConfig {
                segment: record.segment,
                space: record.space,
                ..RecordConfig::new(record.folder.clone())
            }),
        };
        Ok(ChannelConfig { record, ..table.channel(name)? })
    }

    /// The keys that are read at the start only, and say something else in another file.
    pub fn fixed_differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("server", self.server != other.server),
            ("http", self.http != other.http),
            ("console", self.console != other.console),
            ("token", self.token != other.token),
            ("operator-token", self.operator_token != other.operator_token),
            ("max-viewers", self.max_viewers != other.max_viewers),
            (
                "max-viewers-per-address",
                self.max_viewers_per_address != other.max_viewers_per_address,
            ),
            ("state", self.state != other.state),
            ("places", self.places != other.places),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// Who may watch.
    pub fn web(&self) -> WebConfig {
        let limits =
            Limits { viewers: self.max_viewers, viewers_of_address: self.max_viewers_per_address };
        WebConfig { limits, token: self.token.clone() }
    }
}

#[cfg(feature = "demo")]
impl RecordTable {
    /// An hour a file, and no bound.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, segment: hour(), space: None }
    }
}

#[cfg(feature = "demo")]
impl Default for ChannelTable {
    fn default() -> Self {
        Self {
            title: None,
            source: Vec::new(),
            repeats: false,
            follow: false,
            quality: Quality::default(),
            qualities: Vec::new(),
            adaptive: true,
            fallback: None,
            patience: patience(),
            replay: replay(),
            record: false,
            push: Vec::new(),
            enabled: true,
            groupspec: None,
            group_prefix: prefix(),
            stream: stream(),
        }
    }
}

impl ChannelTable {
    /// Its lower qualities must be channels that there are.
    pub fn check_qualities(&self, exists: impl Fn(&str) -> bool) -> Result<(), String> {
        match self.qualities.iter().find(|lower| !exists(lower)) {
            Some(missing) => Err(format!("qualities: there is no channel '{missing}'")),
            None => Ok(()),
        }
    }

    fn channel(&self, name: &str) -> Result<ChannelConfig, String> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
            return Err("a name is 1 to 200 bytes of text".into());
        }
        if is_reserved(name) {
            return Err(
                "this name is that of something else on the pages' host; take another, not \
                        ending in .flv, .m3u8 or .json"
                    .into(),
            );
        }
        let group = match &self.groupspec {
            Some(spec) => spec.clone(),
            None => channel_group(&self.group_prefix, name).map_err(|error| error.to_string())?,
        };
        let memory = Memory { time: self.replay.max(Memory::LIVE.time), ..Memory::REPLAY };
        Ok(ChannelConfig {
            name: name.to_owned(),
            title: self.title.clone(),
            group,
            stream: self.stream.clone(),
            role: self.role(name)?,
            memory,
            record: None,
            push: self.push.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
        })
    }

    fn role(&self, name: &str) -> Result<Role, String> {
        let source = |key: &str, text: &String, follow| {
            let parsed = SourceSpec::parse(text, follow, self.quality);
            let parsed = parsed.map_err(|why| format!("{key}: {why}"))?;
            match parsed {
                SourceSpec::StandardInput => Err(format!("{key}: '-' cannot be opened again")),
                parsed => Ok(parsed),
            }
        };
        let mut sources = Vec::new();
        for text in &self.source {
            sources.push(source("source", text, self.follow)?);
        }
        let fallback = match &self.fallback {
            Some(text) => {
                let sources = vec![source("fallback", text, false)?];
                Some(Plan { sources, repeats: true })
            }
            None => None,
        };
        if sources.is_empty() {
            let patience = self.patience;
            let stand_in = fallback.map(|plan| StandInConfig { plan, patience });
            if !self.qualities.is_empty() {
                return Err("qualities: whoever casts the channel names them".into());
            }
            let has_name = self.adaptive && self.groupspec.is_none();
            let adapts = has_name.then(|| self.group_prefix.clone());
            return Ok(Role::Watch { stand_in, adapts });
        }
        let plan = Plan { sources, repeats: self.repeats };
        let lower = lower_qualities(name, &self.qualities)?;
        Ok(Role::Cast { plan, fallback, starts_alone: true, retries: true, lower })
    }
}

/// Names of channels with the same in lower qualities, if they can be.
pub fn lower_qualities(channel: &str, names: &[String]) -> Result<Vec<String>, String> {
    if names.len() > MAX_QUALITIES {
        return Err(format!("qualities: {MAX_QUALITIES} at most"));
    }
    if names.iter().any(|name| name == channel || name.is_empty() || name.len() > MAX_NAME) {
        return Err(format!("qualities: name other channels than '{channel}' itself"));
    }
    Ok(names.to_vec())
}

fn most_viewers() -> usize {
    Limits::default().viewers
}

fn replay_memory() -> u64 {
    4 << 30
}

fn hour() -> Duration {
    Duration::from_secs(3600)
}

fn patience() -> Duration {
    Duration::from_secs(3)
}

fn replay() -> Duration {
    Memory::REPLAY.time
}

fn yes() -> bool {
    true
}

fn prefix() -> String {
    DEFAULT_PREFIX.into()
}

fn stream() -> String {
    DEFAULT_STREAM.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FileConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("channels.toml");
        std::fs::write(&path, text).unwrap();
        FileConfig::read(&path).map_err(|error| error.to_string())
    }

    const HEAD: &str = "server = \"rtmfp://localhost\"\n";

    #[test]
    fn a_file_says_what_channels_there_are() {
        let text = "http = \"localhost:1234\"\n[channel.\"News 1\"]\nsource = [\"a.flv\", \"b.flv\"]\nloop = true\n[channel.other]\n";
        let config = read(&format!("{HEAD}{text}")).unwrap();
        assert_eq!(config.http[0], "127.0.0.1:1234".parse().unwrap());
        let channel = |name: &str| config.channel(name, &config.channels[name]).unwrap();
        let Role::Cast { plan, .. } = channel("News 1").role else { panic!("it casts") };
        assert_eq!((plan.sources.len(), plan.repeats), (2, true));
        assert_eq!(channel("other").role, Role::Watch { stand_in: None, adapts: Some(prefix()) });
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, shows) in [
            ("sever = 1", "line 2"),
            ("[channel.a]\nsource = 5", "line 3"),
            ("[channel.a]\nsource = \"rtmp-listen://x\"", "channel.a: source: write rtmp-listen"),
            ("[channel.a]\nfallback = \"-\"\nsource = \"x\"", "channel.a: fallback"),
            ("[channel.a]\nreplay = \"soon\"", "line 3"),
            ("[channel.\"index.js\"]", "channel.index.js"),
            ("[channel.a]\ngroup-prefix=\"x\"\n[channel.xa]\ngroup-prefix=\"\"", "same group"),
            (
                "[channel.a]\nsource=\"rtmp-listen://:1/x/k\"\n[channel.b]\nsource=\"rtmp-listen://:1/x/k\"",
                "'a' has the same RTMP key",
            ),
            ("[channel.\"a.flv\"]", "ending in .flv"),
            ("[channel.a]\nsource=\"x\"\nqualities=[\"b\"]", "no channel 'b'"),
            ("[channel.a]\nsource=\"x\"\nqualities=[\"a\"]", "other channels than 'a'"),
            ("[channel.a]\nqualities=[\"b\"]\n[channel.b]", "whoever casts"),
            ("console = \":8090\"", "operator-token"),
            ("token = \"\"", "line 2"),
            ("[channel.a]\nsource=[]", "name at least one"),
            ("[channel.a]\npatience=\"3\"", "write 3s"),
        ] {
            let said = read(&format!("{HEAD}{text}")).unwrap_err();
            assert!(said.contains(shows), "{said}");
        }
    }
}
