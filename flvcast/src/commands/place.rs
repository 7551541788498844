//! Where: server, channel and group; and where else it is shown and kept.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use flvcast::{
    ChannelConfig, DEFAULT_PREFIX, DEFAULT_STREAM, Error, Limits, Memory, PushTarget, RecordConfig,
    Role, Token, WebConfig, channel_group, listen_addresses,
};
use netgroup::GroupSpec;
use rtmfp::ServerUrl;

/// What a name means; in a type of its own, for clap takes a bare list for several arguments.
#[derive(Debug, Clone)]
pub struct Addresses(pub Vec<SocketAddr>);

/// An address for pages.
pub fn http(text: &str) -> Result<Addresses, String> {
    const HTTP_PORT: u16 = 8080;
    listen_addresses(text, HTTP_PORT).map(Addresses)
}

/// Which stream of which group, through which server.
#[derive(Debug, Args)]
pub struct Place {
    /// The rendezvous server: rtmfp://HOST[:PORT][/KEY]
    #[arg(long, value_name = "URL")]
    pub server: ServerUrl,
    /// Join this group instead of the channel's own
    #[arg(long, value_name = "G:…")]
    groupspec: Option<GroupSpec>,
    /// What a channel's name is prefixed with to make its group
    #[arg(long, value_name = "PREFIX", default_value = DEFAULT_PREFIX)]
    group_prefix: String,
    /// The stream's name in the group
    #[arg(long, value_name = "NAME", default_value = DEFAULT_STREAM)]
    stream: String,
}

/// Where else a channel is shown and kept.
#[derive(Debug, Args)]
pub struct Shop {
    /// Serve a page as /, the film as /CHANNEL.flv and /CHANNEL.m3u8; ':8081' is all of this machine's
    /// addresses, and without a port it is 8080
    #[arg(long, value_name = "ADDR:PORT", value_parser = http)]
    pub http: Option<Addresses>,
    /// Who watches by HTTP must know this: ?token=SECRET
    #[arg(long, value_name = "SECRET", requires = "http")]
    token: Option<Token>,
    /// How many may watch by HTTP at once
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().viewers)]
    max_viewers: usize,
    /// How many of them from one address: 64, if not said, and any number from this machine
    #[arg(long, value_name = "COUNT")]
    max_viewers_per_address: Option<usize>,
    /// Keep what is shown in FLV files, an hour each, in a folder of the channel's name in this one
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Push what is shown to a server as well: rtmp://HOST/APP/KEY, or rtmps://…; again for each
    #[arg(long, value_name = "URL")]
    push: Vec<PushTarget>,
}

impl Place {
    /// A channel there; where it is to be kept must be a folder.
    pub fn channel(&self, name: &str, role: Role, shop: &Shop) -> Result<ChannelConfig, Error> {
        if let Some(folder) = &shop.record {
            std::fs::create_dir_all(folder).map_err(|error| {
                let folder = folder.display();
                Error::Usage(format!("cannot record into {folder}: {error}; name another folder"))
            })?;
        }
        let group = match &self.groupspec {
            Some(spec) => spec.clone(),
            None => channel_group(&self.group_prefix, name)?,
        };
        let memory = if shop.http.is_some() { Memory::REPLAY } else { Memory::LIVE };
        Ok(ChannelConfig {
            name: name.to_owned(),
            title: None,
            group,
            stream: self.stream.clone(),
            role,
            memory,
            record: shop.record.clone().map(RecordConfig::new),
            push: shop.push.clone(),
        })
    }

    /// What names are prefixed with, if groups are made of names.
    pub fn prefix(&self) -> Option<String> {
        self.groupspec.is_none().then(|| self.group_prefix.clone())
    }

    /// Whether several channels can be told apart.
    pub fn names_one_group(&self) -> bool {
        self.groupspec.is_some()
    }
}

impl Shop {
    /// Whether it is pushed onward.
    pub fn pushes(&self) -> bool {
        !self.push.is_empty()
    }

    /// Who may watch.
    pub fn web(&self) -> WebConfig {
        let limits =
            Limits { viewers: self.max_viewers, viewers_of_address: self.max_viewers_per_address };
        WebConfig { limits, token: self.token.clone() }
    }
}
