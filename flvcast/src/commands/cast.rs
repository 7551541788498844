//! `flvcast cast`.

use clap::{Args, builder::NonEmptyStringValueParser};
use flvcast::{CastConfig, Error, Plan, Quality, Role, SourceSpec, Stop, cast, lower_qualities};

use super::place::{Place, Shop};

/// Shown below the options.
pub const EXAMPLES: &str = "\
Sources, with an example each:
  a film, or several in a row        flvcast cast one.flv two.flv --loop …
  a pipe or standard input           ffmpeg -i x.mkv -f flv - | flvcast cast - …
  a file that is being written       flvcast cast --follow recording.flv …
  FLV over HTTP                      flvcast cast http://HOST/live.flv …
  a playlist of FLV, TS or fMP4      flvcast cast https://HOST/live.m3u8 --quality 720p …
  an RTMP server                     flvcast cast rtmp://HOST/live/STREAM …
  OBS, ffmpeg or GStreamer, by RTMP  flvcast cast rtmp-listen://:1935/live/SECRET …
                                     (in OBS: server rtmp://THIS-HOST/live, stream key SECRET)
  anything that ffmpeg reads         flvcast cast film.mkv …    flvcast cast srt://HOST:9000 …

… stands for --server rtmfp://HOST --channel NAME. Many channels at once: flvcast serve --help";

/// Its options.
#[derive(Debug, Args)]
pub struct Cast {
    /// What to cast, one after the other: files, '-', http://, https://, rtmp://, rtmp-listen://
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// The channel's name
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    channel: String,
    #[command(flatten)]
    place: Place,
    /// Begin again after the last
    #[arg(long = "loop")]
    repeats: bool,
    /// The file is still being written: cast it from its newest key frame on
    #[arg(long)]
    follow: bool,
    /// Of a playlist with several qualities: best, worst, 720p, 800k, 2M
    #[arg(long, value_name = "WHICH", default_value = "best")]
    quality: Quality,
    /// Channels on which the same is cast in lower qualities, from the better to the worse; viewers
    /// of this one take them when too little arrives
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    qualities: Vec<String>,
    /// Plays, again and again, while the sources give nothing
    #[arg(long, value_name = "SOURCE")]
    fallback: Option<String>,
    #[command(flatten)]
    shop: Shop,
}

impl Cast {
    /// Does it.
    pub fn run(self) -> Result<(), Error> {
        let parse = |text: &String| {
            SourceSpec::parse(text, self.follow, self.quality).map_err(Error::Usage)
        };
        let sources: Vec<SourceSpec> = self.sources.iter().map(parse).collect::<Result<_, _>>()?;
        if self.repeats && sources.contains(&SourceSpec::StandardInput) {
            let text = "a pipe can be read once; --loop wants films";
            return Err(Error::Usage(text.into()));
        }
        let fallback = match &self.fallback {
            Some(text) => {
                let source = SourceSpec::parse(text, false, self.quality).map_err(Error::Usage)?;
                Some(Plan { sources: vec![source], repeats: true })
            }
            None => None,
        };
        let plan = Plan { sources, repeats: self.repeats };
        let lower = lower_qualities(&self.channel, &self.qualities).map_err(Error::Usage)?;
        let role = Role::Cast { plan, fallback, starts_alone: false, retries: false, lower };
        let channel = self.place.channel(&self.channel, role, &self.shop)?;
        let (web, server) = (self.shop.web(), self.place.server);
        let http = self.shop.http.map(|addresses| addresses.0);
        cast(CastConfig { server, channel, http, web }, &Stop::on_signals(None))
    }
}
