//! HLS: a real player of each kind, and segments that an inspector finds nothing wrong with.

use std::{process::Command, time::Duration};

use tests::{
    Process,
    browser::{Page, wait_for},
    film,
    station::Station,
    web::get,
};

const SOON: Duration = Duration::from_secs(40);

fn station() -> Station {
    let folder = tempfile::tempdir().unwrap();
    film::write(&folder.path().join("film.flv"), &film::long_film(3));
    let channels = "[channel.news]\nsource = \"film.flv\"\nloop = true\n";
    let station = Station::start(folder, "", channels);
    let playlist = wait_for(SOON, || {
        let playlist = get(&station.http, "/news.m3u8");
        Some(())
            .filter(|()| playlist.status == 200 && playlist.text().matches("#EXTINF").count() > 2)
    });
    assert!(playlist.is_some(), "{}", station.process.stderr());
    station
}

#[test]
fn segments_are_whole_and_follow_each_other() {
    let station = station();
    let playlist = get(&station.http, "/news.m3u8").text();
    let target: f64 = playlist
        .split_once("#EXT-X-TARGETDURATION:")
        .and_then(|(_, rest)| rest.lines().next()?.parse().ok())
        .unwrap();
    let init = playlist.split_once("URI=\"").and_then(|(_, rest)| rest.split_once('"'));
    let init = get(&station.http, &format!("/{}", init.unwrap().0));
    assert_eq!(init.status, 200);
    let mut ends = 0.0;
    let lines: Vec<&str> = playlist.lines().collect();
    let mut count = 0;
    for pair in lines.windows(2).filter(|pair| pair[0].starts_with("#EXTINF:")) {
        let length: f64 = pair[0]["#EXTINF:".len()..].trim_end_matches(',').parse().unwrap();
        assert!(length.round() <= target, "{length} of {target}");
        let segment = get(&station.http, &format!("/{}", pair[1]));
        assert_eq!(segment.status, 200, "{}", pair[1]);
        let path = station.path("segment.mp4");
        std::fs::write(&path, [&init.body[..], &segment.body].concat()).unwrap();
        let probe = Command::new("ffprobe")
            .args(["-v", "error", "-count_packets", "-show_entries"])
            .args(["stream=codec_name,start_time,nb_read_packets:format=start_time,duration"])
            .args(["-of", "json"])
            .arg(&path)
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&probe.stderr);
        assert!(complaints.is_empty(), "{complaints}");
        let found: serde_json::Value = serde_json::from_slice(&probe.stdout).unwrap();
        let names: Vec<&str> = found["streams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stream| stream["codec_name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["h264", "aac"]);
        let begins: f64 = found["streams"][0]["start_time"].as_str().unwrap().parse().unwrap();
        assert!(count == 0 || (begins - ends).abs() < 0.1, "{begins} after {ends}");
        ends = begins + length;
        count += 1;
    }
    assert!(count > 2);
}

#[test]
fn ffmpeg_plays_it() {
    let station = station();
    let url = format!("http://{}/news.m3u8", station.http);
    let mut ffmpeg = Process::spawn(
        Command::new("ffmpeg")
            .args(["-v", "error", "-live_start_index", "0", "-t", "6", "-i", &url])
            .args(["-f", "null", "-"]),
    );
    assert_eq!(ffmpeg.wait(SOON), 0, "{}", ffmpeg.stderr());
    assert_eq!(ffmpeg.stderr(), "", "it decodes without complaint");
}

#[test]
fn browsers_play_it_by_hls_js() {
    let station = station();
    let mut page = Page::open(&format!("http://{}/", station.http));
    page.evaluate(include_str!("../../assets/hls.light.min.js"));
    page.evaluate(
        "(() => { Player.hide(); const old = document.getElementById('film'); const film = old.cloneNode(); old.replaceWith(film); film.muted = true; window.hls = new Hls({ liveSyncDurationCount: 1 }); window.fatal = null; hls.on(Hls.Events.ERROR, (_, data) => { if (data.fatal) window.fatal = data.details; }); hls.loadSource('news.m3u8'); hls.attachMedia(film); hls.on(Hls.Events.MANIFEST_PARSED, () => film.play()); window.shown = film; })()",
    );
    let mut time = || page.evaluate("window.shown.currentTime").as_f64();
    let begun = wait_for(SOON, || time().filter(|at| *at > 0.5)).expect("it begins");
    let goes_on = wait_for(SOON, || time().filter(|at| *at > begun + 6.0));
    assert!(goes_on.is_some(), "it stands still: {}", page.evaluate("window.fatal"));
    assert_eq!(page.evaluate("window.fatal"), serde_json::Value::Null);
    // Back into what is kept.
    page.evaluate("window.shown.currentTime = window.shown.seekable.start(0) + 0.5");
    let mut time = || page.evaluate("window.shown.currentTime").as_f64();
    let back = wait_for(SOON, || time().filter(|at| *at < begun + 3.0)).expect("it goes back");
    assert!(
        wait_for(SOON, || time().filter(|at| *at > back + 1.0)).is_some(),
        "it goes on from there"
    );
    page.keep_screenshot("hls");
}
