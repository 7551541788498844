//! The figures as Prometheus scrapes them: its text format 0.0.4.

use std::fmt::Write as _;

use super::board::{ChannelView, Phase, Snapshot};

/// What is counted, and how it is told.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&ChannelView) -> Option<f64>,
}

const METRICS: [Metric; 21] = [
    gauge("up", "Whether the channel runs", |view| Some(f64::from(view.phase == Phase::Running))),
    gauge("live", "Whether sound or pictures come", |view| {
        let is_live = |shown: &crate::web::Shown| shown.state == crate::status::State::Live;
        Some(f64::from(view.shown.as_ref().is_some_and(is_live)))
    }),
    gauge("fallback", "Whether the fallback plays", |view| {
        Some(f64::from(view.shown.as_ref().is_some_and(|shown| shown.instead.fallback)))
    }),
    gauge("lower_quality", "Whether a lower quality is watched, as too little arrives", |view| {
        let is_lower = |shown: &crate::web::Shown| shown.instead.quality.is_some();
        Some(f64::from(view.shown.as_ref().is_some_and(is_lower)))
    }),
    gauge("members", "Members of the group, ourselves included", |view| {
        Some(view.group_stats.members as f64)
    }),
    gauge("neighbours", "Connected members", |view| Some(view.group_stats.neighbours as f64)),
    gauge("http_viewers", "Browsers and players by HTTP", |view| Some(view.http_viewers as f64)),
    gauge("bitrate_bits", "Bits a second of the stream", |view| Some(view.rates.bitrate)),
    gauge("upload_bits", "Bits a second sent to the swarm", |view| Some(view.rates.upload)),
    gauge("peer_share_ratio", "The part that members have from each other", |view| {
        view.rates.peer_share
    }),
    gauge("delay_seconds", "From the caster to here", |view| {
        view.delay_ms.map(|delay| delay as f64 / 1000.0)
    }),
    counter("interruptions_total", "Times that it fell silent", |view| {
        Some(view.interruptions as f64)
    }),
    counter("published_bytes_total", "Bytes of the stream published here", |view| {
        Some(view.group_stats.bytes_published as f64)
    }),
    counter("sent_bytes_total", "Bytes of the stream sent to neighbours", |view| {
        Some(view.group_stats.bytes_sent as f64)
    }),
    counter("received_source_bytes_total", "Bytes of the stream from its caster", |view| {
        Some(view.group_stats.bytes_from_source as f64)
    }),
    counter("received_peer_bytes_total", "Bytes of the stream from other members", |view| {
        Some(view.group_stats.bytes_from_peers as f64)
    }),
    counter("lost_fragments_total", "Fragments that never came", |view| {
        Some(view.group_stats.fragments_lost as f64)
    }),
    counter("banned_neighbours_total", "Neighbours dropped for what they did", |view| {
        Some(view.group_stats.neighbours_banned as f64)
    }),
    gauge("pushes", "Servers that take it by RTMP", |view| {
        Some(view.pushes.iter().filter(|push| push.live).count() as f64)
    }),
    counter("pushed_bytes_total", "Bytes pushed by RTMP", |view| {
        Some(view.pushes.iter().map(|push| push.bytes).sum::<u64>() as f64)
    }),
    counter("recorded_bytes_total", "Bytes kept", |view| {
        view.record.as_ref().map(|record| record.bytes as f64)
    }),
];

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&ChannelView) -> Option<f64>,
) -> Metric {
    Metric { name, kind: "gauge", help, value }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&ChannelView) -> Option<f64>,
) -> Metric {
    Metric { name, kind: "counter", help, value }
}

/// All figures as text.
pub fn text(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    let connected = u8::from(snapshot.server.connected);
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "# HELP flvcast_server_connected Whether the rendezvous server has us\n\
         # TYPE flvcast_server_connected gauge\nflvcast_server_connected {connected}"
    );
    for Metric { name, kind, help, value } in METRICS {
        let _ = writeln!(out, "# HELP flvcast_channel_{name} {help}");
        let _ = writeln!(out, "# TYPE flvcast_channel_{name} {kind}");
        for channel in &snapshot.channels {
            if let Some(value) = value(channel) {
                // Of what is large, nobody wants fractions.
                let value = if value.abs() >= 1000.0 { value.round() } else { value };
                let label = escaped(&channel.name);
                let _ = writeln!(out, "flvcast_channel_{name}{{channel=\"{label}\"}} {value}");
            }
        }
    }
    out
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
        assert!(text(&Snapshot::default()).starts_with("# HELP flvcast_server_connected"));
    }
}
