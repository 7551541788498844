//! `flvcast groupspec encode|decode`.

use clap::Args;
use flvcast::print;
use netgroup::{Capabilities, GroupSpec, GroupSpecError, hex};

/// What to do with groupspecs.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make the groupspec of a name; without options, all that a channel has
    #[command(
        after_help = "Example:\n  flvcast watch --groupspec $(flvcast groupspec encode bittube.vanderbilt.edu/cctv) …"
    )]
    Encode(Encode),
    /// Show what a groupspec says
    #[command(
        after_help = "Example:\n  flvcast groupspec decode $(flvcast groupspec encode bittube.vanderbilt.edu/cctv)"
    )]
    Decode {
        /// G: and hex digits
        groupspec: GroupSpec,
    },
}

/// A group and what its members may do.
#[derive(Debug, Args)]
pub struct Encode {
    /// The group's name, for example bittube.vanderbilt.edu/cctv
    name: String,
    /// 1 for Flash Player before 11.5, 2 since
    #[arg(long = "spec-version", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=2))]
    version: u64,
    /// Directed routing
    #[arg(long)]
    routing: bool,
    /// Streams
    #[arg(long)]
    multicast: bool,
    /// Object replication
    #[arg(long)]
    object_replication: bool,
    /// Posting
    #[arg(long)]
    posting: bool,
    /// Bootstrap by a server
    #[arg(long)]
    server_channel: bool,
    /// No connections between members
    #[arg(long)]
    peer_to_peer_disabled: bool,
    /// Membership by IP multicast
    #[arg(long)]
    ip_multicast_updates: bool,
}

impl Encode {
    fn capabilities(&self) -> Capabilities {
        let chosen = Capabilities {
            routing: self.routing,
            multicast: self.multicast,
            object_replication: self.object_replication,
            posting: self.posting,
            server_channel: self.server_channel,
            peer_to_peer_disabled: self.peer_to_peer_disabled,
            ip_multicast_updates: self.ip_multicast_updates,
        };
        if chosen == Capabilities::default() { Capabilities::CHANNEL } else { chosen }
    }
}

/// Prints the string alone, for `$(…)`, or what one says.
pub fn run(command: &Command) -> Result<(), GroupSpecError> {
    match command {
        Command::Encode(encode) => {
            print(GroupSpec::new(&encode.name, encode.capabilities(), encode.version)?);
        }
        Command::Decode { groupspec } => describe(groupspec),
    }
    Ok(())
}

fn describe(spec: &GroupSpec) {
    print(format_args!("groupspec  {spec}"));
    print(format_args!("name       {}", spec.name()));
    print(format_args!("version    {}", spec.version()));
    print(format_args!("options    {}", options(&spec.capabilities())));
    for version in [1, 2] {
        let mark = if version == spec.version() { "  (this one)" } else { "" };
        let id = hex(&spec.group_id_as(version));
        print(format_args!("group ID   {id}  by version {version}{mark}"));
    }
}

fn options(capabilities: &Capabilities) -> String {
    let named = [
        (capabilities.routing, "routing"),
        (capabilities.multicast, "multicast"),
        (capabilities.object_replication, "object-replication"),
        (capabilities.posting, "posting"),
        (capabilities.server_channel, "server-channel"),
        (capabilities.peer_to_peer_disabled, "peer-to-peer-disabled"),
        (capabilities.ip_multicast_updates, "ip-multicast-updates"),
    ];
    let on: Vec<&str> = named.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
    if on.is_empty() { "none".into() } else { on.join(" ") }
}
