//! `flvcast cast`: sources into a channel, in real time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rtmfp::ServerUrl;

use crate::{
    Error,
    broadcast::Broadcast,
    journal::Journal,
    peer::MemberStats,
    say::{count, members, say},
    source::Plan,
    station::{ChannelConfig, Phase, Role, Station},
    stop::Stop,
    web::{self, WebConfig},
};

const PROGRESS: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);

/// What to cast, and where.
#[derive(Debug, Clone)]
pub struct CastConfig {
    /// The rendezvous server.
    pub server: ServerUrl,
    /// Into what.
    pub channel: ChannelConfig,
    /// A page and the film as it is cast, on the first of these that is free.
    pub http: Option<Vec<SocketAddr>>,
    /// Who may watch there.
    pub web: WebConfig,
}

/// Casts until the sources end or it is told to stop.
pub fn cast(config: CastConfig, stop: &Stop) -> Result<(), Error> {
    let CastConfig { server, channel, http, web } = config;
    let listener = http.as_deref().map(web::bind).transpose()?;
    let name = channel.name.clone();
    let names = match &channel.role {
        Role::Cast { plan, fallback, .. } => {
            check(plan, fallback.as_ref())?;
            plan.sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Role::Watch { .. } => return Err(Error::Usage("there is nothing to cast".into())),
    };
    let is_waited_for = channel.comes_back();
    let mut station = Station::new(server, Journal::default());
    station.add(channel)?;
    // A bad file is known before anybody is connected to.
    if !is_waited_for {
        let broadcast = station.channel_mut(&name).and_then(|channel| channel.broadcast_mut());
        broadcast.map_or(Ok(()), |broadcast| Broadcast::wait_for_first(broadcast, stop))?;
    }
    let web = match listener {
        Some(listener) => {
            say(format_args!("page: http://{}/", web::host_of(&listener)?));
            Some(web::serve(listener, station.lineup().clone(), web)?)
        }
        None => None,
    };
    let outcome = run(&mut station, &name, &names, stop);
    if stop.is_set() && !station.link().was_connected() {
        return outcome.and(station.stop());
    }
    // Whatever ended it, what was cast is to be had.
    station.finish(stop);
    if let Some(web) = web {
        web.finish();
    }
    if let Some(channel) = station.channel(&name) {
        report(channel.stats());
    }
    outcome.and(station.stop())
}

/// What stands in must be there; what has something to stand in for it may come later.
fn check(plan: &Plan, fallback: Option<&Plan>) -> Result<(), Error> {
    for source in &fallback.unwrap_or(plan).sources {
        source.check().map_err(|error| Error::Source(error.to_string()))?;
    }
    Ok(())
}

fn run(station: &mut Station, name: &str, names: &str, stop: &Stop) -> Result<(), Error> {
    let (mut is_casting, mut progress_at) = (false, None);
    while !stop.is_set() {
        station.turn(TICK)?;
        let was_connected = station.link().was_connected();
        if was_connected && !std::mem::replace(&mut is_casting, was_connected) {
            say(format_args!("casting {names} as '{name}' at {}", station.link().server()));
            progress_at = Some(Instant::now() + PROGRESS);
        }
        let Some(channel) = station.channel_mut(name) else { return Ok(()) };
        if let Some(error) = channel.take_failure() {
            return Err(error);
        }
        if matches!(channel.phase(), Phase::Over) {
            return Ok(());
        }
        let now = Instant::now();
        if let Some(at) = progress_at.filter(|at| *at <= now) {
            progress_at = Some(at + PROGRESS);
            report(channel.stats());
        }
    }
    Ok(())
}

fn report(stats: MemberStats) {
    let ratio = stats.stream.bytes_sent as f64 / stats.stream.bytes_published.max(1) as f64;
    say(format_args!(
        "cast {:.1} MB; sent {:.1} MB to the swarm ({ratio:.2} times the stream); {}, {}",
        stats.stream.bytes_published as f64 / 1e6,
        stats.stream.bytes_sent as f64 / 1e6,
        members(&stats.group),
        count(stats.group.neighbours as u64, "neighbour"),
    ));
}
