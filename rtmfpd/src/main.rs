//! `rtmfpd`: a rendezvous server for RTMFP clients.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use rtmfpd::{GroupNumber, Listener, ServerConfig, Want, start};

/// Introduces RTMFP peers to each other and bootstraps NetGroups, as Adobe's p2p.rtmfp.net did.
///
/// Any host name and any path or developer key is accepted. Prints one line when ready:
/// rtmfpd ready rtmfp://ADDR:PORT fingerprint=HEX
#[derive(Debug, Parser)]
#[command(
    name = "rtmfpd",
    version,
    after_help = "Examples:
  rtmfpd                                     on UDP port 1935 of all interfaces
  rtmfpd --identity rtmfpd.key --static-keys with a fingerprint that clients can pin
  rtmfpd --config rtmfpd.toml

Logging: RUST_LOG=debug (default: info), to standard error.
Session keys, for decoding captures of your own: RTMFP_KEYLOG=FILE."
)]
struct Arguments {
    /// Settings in TOML, by the long names of these options; tables named "path" give paths their policies
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// UDP address to listen on; port 0 picks a free one; may be repeated [default: port 1935 of all interfaces]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// File that keeps the server's fingerprint the same between runs; made if missing
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Make the identity with static keys, which clients can pin (rtmfp://…#fingerprint=HEX);
    /// librtmfp cannot connect then
    #[arg(long)]
    static_keys: bool,
    /// Name that clients may ask for instead of a URI
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Diffie-Hellman group of our keys: 2, 5, 14 or 16; may be repeated [default: 2 5 14, or 2 14
    /// if static]
    #[arg(long = "group", value_name = "NUMBER")]
    groups: Vec<GroupNumber>,
    /// Relay what clients publish to those who play it; without this the server only introduces
    #[arg(long)]
    live_streams: bool,
    /// HMACs on packets, in place of 16-bit checksums [default: match]
    #[arg(long, value_name = "WHEN")]
    hmac: Option<Want>,
    /// Session sequence numbers on packets, against replay [default: match]
    #[arg(long, value_name = "WHEN")]
    sequence_numbers: Option<Want>,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .format_target(false)
        .init();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rtmfpd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = match &arguments.config {
        Some(path) => ServerConfig::load(path)?,
        None => ServerConfig::default(),
    };
    if !arguments.listen.is_empty() {
        config.listen = arguments.listen.into_iter().map(Listener::from).collect();
    }
    if !arguments.groups.is_empty() {
        config.groups = arguments.groups;
    }
    config.identity = arguments.identity.or(config.identity);
    config.hostname = arguments.hostname.or(config.hostname);
    config.hmac = arguments.hmac.or(config.hmac);
    config.sequence_numbers = arguments.sequence_numbers.or(config.sequence_numbers);
    config.static_keys |= arguments.static_keys;
    config.live_streams |= arguments.live_streams;
    let server = start(&config)?;
    println!("rtmfpd ready rtmfp://{} fingerprint={}", server.address(), server.fingerprint());
    ctrlc::set_handler(server.stopper())?;
    let stats = server.wait()?.stats();
    log::info!("stopped: {stats}");
    Ok(())
}
