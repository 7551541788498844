//! Members on real sockets, in processes of their own, through a real server.

use std::process::Command;

use serde_json::Value;

fn members(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_rtmfp-interop"))
        .args(["bench", "members"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_group_on_real_sockets_does_what_simulated_ones_do() {
    let figures =
        members(&["--members", "30", "--processes", "3", "--over", "5", "--seconds", "20"]);
    assert!(figures["continuity"].as_f64().unwrap() >= 0.999, "{figures}");
    assert!(figures["start_ms"]["p95"].as_f64().unwrap() <= 2000.0, "{figures}");
    assert!(figures["delay_ms"]["p99"].as_f64().unwrap() <= 2500.0, "{figures}");
    assert!(figures["source_ratio"].as_f64().unwrap() <= 5.0, "{figures}");
    assert!(figures["duplicate_share"].as_f64().unwrap() <= 0.04, "{figures}");
}

#[test]
fn three_groups_share_one_session_for_each_pair() {
    let figures = members(&[
        "--members",
        "9",
        "--processes",
        "2",
        "--over",
        "2",
        "--seconds",
        "14",
        "--channels",
        "3",
    ]);
    assert!(figures["continuity"].as_f64().unwrap() >= 0.999, "{figures}");
    assert_eq!(figures["most_sessions"], 9, "{figures}");
}

#[test]
fn members_that_lie_stop_nobody_and_are_dropped() {
    let figures = members(&[
        "--members",
        "22",
        "--processes",
        "2",
        "--over",
        "4",
        "--seconds",
        "26",
        "--liars",
        "9",
    ]);
    assert!(figures["continuity"].as_f64().unwrap() >= 0.995, "{figures}");
    assert!(figures["longest_gap_ms"].as_f64().unwrap() <= 3000.0, "{figures}");
    assert!(figures["liars_dropped"].as_u64().unwrap() >= 5, "{figures}");
    assert_eq!(figures["honest_dropped"], 0, "{figures}");
    assert!(figures["peak_bytes"].as_u64().unwrap() < 200 << 20, "{figures}");
}
