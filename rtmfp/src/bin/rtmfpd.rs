//! `rtmfpd`: a rendezvous server for RTMFP clients.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use rtmfp::server::{ServerConfig, start};

/// Introduces RTMFP peers to each other and bootstraps NetGroups, as Adobe's p2p.rtmfp.net did.
///
/// Any host name and any path or developer key is accepted. Prints one line when ready:
/// rtmfpd ready rtmfp://ADDR:PORT fingerprint=HEX
#[derive(Debug, Parser)]
#[command(version, after_help = "Logging: RUST_LOG=debug (default: info), to standard error.")]
struct Arguments {
    /// Settings in TOML: listen = ["ADDR:PORT"], identity = "FILE"
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// UDP address to listen on; port 0 picks a free one; may be repeated [default: port 1935 of all interfaces]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// File that keeps the server's fingerprint the same between runs; made if missing
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
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
        config.listen = arguments.listen;
    }
    config.identity = arguments.identity.or(config.identity);
    let server = start(&config)?;
    println!("rtmfpd ready rtmfp://{} fingerprint={}", server.address(), server.fingerprint());
    ctrlc::set_handler(server.stopper())?;
    let stats = server.wait()?.stats();
    log::info!("stopped: {stats:?}");
    Ok(())
}
