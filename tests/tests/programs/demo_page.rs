//! The demonstration, in a real browser.

use std::time::Duration;

use tests::{
    Process,
    browser::{Page, wait_for},
};

/// The film is FLV over HTTP that players take.
fn check_with_ffmpeg(http: &str) {
    let url = format!("http://{http}/demo.flv");
    let mut ffmpeg = Process::spawn(
        std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-t", "3", "-i", &url, "-f", "null", "-"]),
    );
    assert_eq!(ffmpeg.wait(Duration::from_secs(20)), 0, "{}", ffmpeg.stderr());
    assert_eq!(ffmpeg.stderr(), "", "ffmpeg decodes without complaint");
}

#[test]
fn the_film_plays_in_chromium() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let http = format!("127.0.0.1:{port}");
    let mut demo = Process::start("flvcast", &["demo", "--http", &http]);
    let line = demo.line(Duration::from_secs(3)).expect("says where to look within 3 s");
    assert!(line.contains(&http), "{line}");
    let mut page = Page::open(&format!("http://{http}/"));
    let mut time = || page.evaluate("document.getElementById('film').currentTime").as_f64();
    let began = wait_for(Duration::from_secs(30), || time().filter(|at| *at > 0.5))
        .expect("the film begins");
    let goes_on = wait_for(Duration::from_secs(20), || time().filter(|at| *at > began + 5.0));
    assert!(goes_on.is_some(), "the film stands still at {:?}", time());
    assert_eq!(page.evaluate("document.getElementById('status').textContent"), "live");
    assert_eq!(page.evaluate("document.querySelectorAll('#viewers tr').length"), 6);
    assert!(page.evaluate("document.getElementById('film').videoWidth").as_f64() == Some(640.0));
    check_with_ffmpeg(&http);
    page.keep_screenshot("demo");
    drop(page);
    demo.interrupt();
    assert_eq!(demo.wait(Duration::from_secs(20)), 0, "{}", demo.stderr());
}
