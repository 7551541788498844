//! Many channels in one process: none disturbs another, and all can be changed while they run.

use std::{io::Write, net::TcpListener, time::Duration};

use flvcast::flv::{Tag, TagKind, Tracks, file_header, put_tag};
use tests::{
    Process,
    browser::{Look, Page, wait_for},
    film,
    stage::{free_port, timed},
    station::Station,
    web::{ask, get},
};

const SOON: Duration = Duration::from_secs(30);

fn folder_with_films() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    film::write(&folder.path().join("film.flv"), &film::long_film(3));
    folder
}

const THREE: &str = "\
[channel.steady]
source = \"film.flv\"
loop = true
[channel.changing]
source = \"film.flv\"
loop = true
[channel.failing]
source = \"missing.flv\"
";

/// Gives pictures over HTTP as fast as they are taken, all with one stamp.
fn flood() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/flood.flv", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut film = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            film.extend(file_header(Tracks { audio: false, video: true }));
            let picture = |first: u8| {
                let payload = [&[first, 1, 0, 0, 0][..], &[7; 1000]].concat().into();
                Tag { kind: TagKind::Video, timestamp: 0, payload }
            };
            while stream.write_all(&film).is_ok() {
                film.clear();
                put_tag(&mut film, &picture(0x17));
                (0..100).for_each(|_| put_tag(&mut film, &picture(0x27)));
            }
        }
    });
    url
}

#[test]
fn a_channel_that_changes_fails_or_floods_disturbs_no_other() {
    let folder = folder_with_films();
    let out = folder.path().join("watched.flv");
    let three = format!("{THREE}[channel.flood]\nsource = \"{}\"\n", flood());
    let station = Station::start(folder, "", &three);
    let text = out.to_str().unwrap();
    let place = ["--server", &station.server.url, "--channel", "steady"];
    let mut watcher = Process::start(
        "flvcast",
        &[&["watch", "--out", text], &place[..], &["--for", "14s"]].concat(),
    );
    station.wait_for_live("steady");
    station.wait_for_live("changing");
    let failed = station.wait_for("failing", "failed", |view| view["phase"] == "failed");
    assert_eq!(failed["casts"], true);
    let status = get(&station.console, "/api/status").json();
    let troubles = status["troubles"].to_string();
    assert!(troubles.contains("missing.flv"), "it is told what is wrong: {troubles}");

    // Changed by the file, stopped and started by the API, removed, added, and flooded with orders.
    station.reload(&three.replace("[channel.changing]\n", "[channel.changing]\ntitle = \"New\"\n"));
    station.wait_for("changing", "renamed", |view| view["title"] == "New");
    assert_eq!(station.order("POST", "/api/channels/changing/stop", "").status, 204);
    station.wait_for("changing", "stopped", |view| view["phase"] == "stopped");
    assert_eq!(station.order("POST", "/api/channels/changing/start", "").status, 204);
    station.wait_for_live("changing");
    let kept = |name: &str| station.view(name).unwrap()["kept_ms"].as_u64().unwrap();
    let before = kept("changing");
    station
        .reload(&three.replace("[channel.changing]\n", "[channel.changing]\ntitle = \"Newer\"\n"));
    station.wait_for("changing", "renamed again", |view| view["title"] == "Newer");
    assert!(kept("changing") >= before, "another title disturbs nothing");
    let taken = "{\"source\":\"film.flv\",\"group-prefix\":\"bittube.vanderbilt.edu/ste\"}";
    let refused = station.order("PUT", "/api/channels/ady", taken);
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("'steady' has the same group"), "{}", refused.text());
    assert!(station.view("ady").is_none());
    for (method, path) in [
        ("POST", "/api/channels/nobody/stop"),
        ("DELETE", "/api/channels/nobody"),
        ("GET", "/api/channels/nobody"),
        ("GET", "/api/history/nobody"),
    ] {
        assert_eq!(station.order(method, path, "").status, 404, "{method} {path}");
    }
    let all = get(&station.console, "/api/channels").json();
    assert_eq!(all.as_array().map(Vec::len), Some(4));
    assert!(station.process.stderr().contains("it is slowed down"));
    let more = "{\"source\":\"film.flv\",\"loop\":true}";
    for _ in 0..5 {
        assert_eq!(station.order("PUT", "/api/channels/more", more).status, 204);
        assert_eq!(station.order("DELETE", "/api/channels/more", "").status, 204);
    }
    station.reload("[channel.steady]\nsource = 5\n");
    let said = wait_for(SOON, || {
        Some(()).filter(|()| station.process.stderr().contains("Everything stays as it was"))
    });
    assert!(said.is_some(), "a file that makes no sense changes nothing");

    assert_eq!(watcher.wait(SOON), 0, "{}", watcher.stderr());
    let watched = timed(&film::tags(&std::fs::read(&out).unwrap()));
    let pictures: Vec<u32> =
        watched.iter().filter(|tag| tag.0 == TagKind::Video).map(|tag| tag.1).collect();
    assert!(pictures.len() > 150, "{} pictures in 14 s", pictures.len());
    let longest = pictures.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest <= 120, "a gap of {longest} ms");
    let losses = station.view("steady").unwrap()["interruptions"].clone();
    assert_eq!(losses, 0);
}

#[test]
fn strangers_are_refused_and_programs_find_what_they_need() {
    let folder = folder_with_films();
    let head = "token = \"viewers\"\noperator-token = \"operator\"\nstate = \"state\"";
    let channels = "[channel.news]\nsource = \"film.flv\"\nloop = true\n";
    let station = Station::start(folder, head, channels);
    let console = |path: &str| get(&station.console, path);
    for path in ["/api/status", "/metrics", "/api/events", "/api/history/news", "/preview/news.flv"]
    {
        assert_eq!(console(path).status, 401, "{path}");
        assert_eq!(console(&format!("{path}?token=viewers")).status, 401, "{path}");
    }
    let order = |headers: &[&str]| {
        ask(&station.console, "POST", "/api/channels/news/stop", headers, "").status
    };
    assert_eq!(order(&["X-Flvcast: 1"]), 401);
    assert_eq!(order(&["Authorization: Bearer operator"]), 403, "a form of another page");
    assert_eq!(console("/healthz").status, 200);
    for path in ["/news.flv", "/news.json", "/news.m3u8", "/news/saved", "/channels.json"] {
        assert_eq!(get(&station.http, path).status, 401, "{path}");
    }
    let status = || console("/api/status?token=operator").json();
    let live = wait_for(SOON, || {
        Some(()).filter(|()| status()["channels"][0]["shown"]["state"] == "live")
    });
    assert!(live.is_some(), "{}", status());
    let figures = get(&station.http, "/news.json?token=viewers").json();
    let metrics = console("/metrics?token=operator").text();
    assert!(metrics.contains("flvcast_channel_live{channel=\"news\"} 1"), "{metrics}");
    // The console is told once a second.
    let published = || status()["channels"][0]["group_stats"]["bytes_published"].as_u64();
    let agrees = wait_for(SOON, || {
        published()
            .filter(|bytes| *bytes >= figures["bytes_published"].as_u64().unwrap() && *bytes > 0)
    });
    assert!(agrees.is_some(), "{figures}");
    let history = wait_for(SOON, || {
        let history = console("/api/history/news?token=operator&span=minute").json();
        (history["time"].as_array()?.len() > 2).then_some(history)
    });
    let bitrate = history.expect("charts grow")["values"]["bitrate"].clone();
    assert!(bitrate.as_array().unwrap().last().unwrap().as_f64().unwrap() > 10_000.0, "{bitrate}");
    assert_eq!(console("/api/openapi.json?token=operator").json()["openapi"], "3.1.0");
    assert_eq!(order(&["X-Flvcast: 1", "Authorization: Bearer operator"]), 204);
}

fn text(page: &mut Page, id: &str) -> String {
    let text = page.evaluate(&format!("document.getElementById('{id}').textContent"));
    text.as_str().unwrap_or_default().to_owned()
}

fn wait_until(page: &mut Page, expression: &str) {
    let found = wait_for(SOON, || Some(()).filter(|()| page.evaluate(expression) == true));
    assert!(found.is_some(), "never: {expression}");
}

/// Nothing is cut off, on any screen.
fn looks(page: &mut Page, name: &str) {
    for (screen, look) in [("desktop", Look::DESKTOP), ("phone", Look::PHONE)] {
        for (time, look) in [("light", look), ("dark", look.dark())] {
            page.look(look);
            std::thread::sleep(Duration::from_millis(300));
            let overflow = page.evaluate("document.documentElement.scrollWidth > innerWidth");
            assert_eq!(overflow, false, "{name} {screen} {time}");
            page.keep_screenshot(&format!("{name}-{screen}-{time}"));
        }
    }
    page.look(Look::DESKTOP);
}

#[test]
fn the_console_shows_and_switches_channels() {
    let station = Station::start(folder_with_films(), "", THREE);
    let http = format!("127.0.0.1:{}", free_port());
    let _watcher = Process::start(
        "flvcast",
        &["watch", "--server", &station.server.url, "--channel", "steady", "--http", &http],
    );
    station.wait_for_live("steady");
    let fed = station.wait_for("steady", "watched", |view| view["group_stats"]["neighbours"] == 1);
    assert_eq!(fed["group_stats"]["members"], 2);
    // What one process says that it sent, the other says that it got; each counts twice a second.
    let agrees = wait_for(SOON, || {
        let got = get(&http, "/steady.json").json()["viewers"][0]["bytes_from_source"].as_u64()?;
        let sent = station.view("steady")?["group_stats"]["bytes_sent"].as_u64()?;
        (got > 500_000 && sent.abs_diff(got) < 150_000).then_some(())
    });
    assert!(agrees.is_some(), "{:?}", station.view("steady"));
    let view = station.view("steady").unwrap();
    let [bitrate, upload] = ["bitrate", "upload"].map(|rate| view["rates"][rate].as_f64().unwrap());
    assert!((bitrate / upload - 1.0).abs() < 0.2, "one viewer is sent all of it: {view}");
    let mut page = Page::open(&format!("http://{}/", station.console));
    wait_until(&mut page, "document.querySelectorAll('#channels tr').length === 3");
    page.evaluate(
        "[...document.querySelectorAll('#channels tr')].find((row) => row.cells[0].textContent === 'steady').click()",
    );
    wait_until(&mut page, "document.getElementById('name').textContent === 'steady'");
    wait_until(&mut page, "document.querySelectorAll('#charts .u-wrap').length >= 3");
    wait_until(&mut page, "document.querySelectorAll('#swarm .neighbour').length === 1");
    wait_until(&mut page, "document.querySelectorAll('#swarm .to').length === 1");
    wait_until(&mut page, "document.querySelector('#places span')?.textContent === 'local'");
    assert!(text(&mut page, "troubles").contains("missing.flv"));
    assert!(text(&mut page, "journal").contains("missing.flv"));
    let users = page.evaluate(
        "[...document.querySelectorAll('#channels tr')].find((row) => row.cells[0].textContent === 'steady').cells[3].textContent",
    );
    assert_eq!(users, "1", "as the process says");
    page.evaluate("document.getElementById('watch').click()");
    wait_until(&mut page, "document.getElementById('preview').currentTime > 1");
    for span in ["ten", "hour", "day", "minute"] {
        page.evaluate(&format!("document.querySelector('[data-span={span}]').click()"));
        wait_until(
            &mut page,
            &format!("document.querySelector('[data-span={span}]').ariaPressed === 'true'"),
        );
    }
    wait_until(&mut page, "document.querySelectorAll('#charts .u-wrap').length >= 3");
    looks(&mut page, "console");
    let switch = "[...document.querySelectorAll('#channels tr')].find((row) => row.cells[0].textContent === 'changing').querySelector('button')";
    page.evaluate(&format!("{switch}.click()"));
    station.wait_for("changing", "stopped", |view| view["phase"] == "stopped");
    wait_until(&mut page, &format!("{switch}.textContent === 'Start'"));
    page.evaluate(&format!("{switch}.click()"));
    station.wait_for_live("changing");
}

#[test]
fn viewers_find_all_channels_go_back_and_look_closer() {
    let station = Station::start(
        folder_with_films(),
        "[record]\nfolder = \"kept\"",
        &THREE.replace(
            "[channel.steady]",
            "[channel.steady]\nrecord = true\ntitle = \"A steady film\"",
        ),
    );
    station.wait_for("steady", "kept", |view| view["kept_ms"].as_u64().unwrap_or(0) > 16_000);
    let mut page = Page::open(&format!("http://{}/", station.http));
    wait_until(&mut page, "document.querySelectorAll('.tile').length === 3");
    assert!(text(&mut page, "channels").contains("A steady film"));
    looks(&mut page, "index");
    page.evaluate("document.querySelector('.tile[href^=steady]').click()");
    wait_until(&mut page, "document.getElementById('channel')?.textContent === 'A steady film'");
    wait_until(&mut page, "document.getElementById('film').currentTime > 1");
    page.evaluate("document.getElementById('statistics').click()");
    wait_until(&mut page, "document.getElementById('overlay').textContent.includes('kbit/s')");
    // Live there is little in hand; from behind, more comes than is played.
    page.evaluate(
        "(() => { const seek = document.getElementById('seek'); seek.value = -10; seek.dispatchEvent(new Event('input')); seek.dispatchEvent(new Event('change')); })()",
    );
    wait_until(
        &mut page,
        "Player.back() === 10 && document.getElementById('film').currentTime > 0.5",
    );
    wait_until(&mut page, "Player.behind() > 5");
    assert_eq!(text(&mut page, "seek-text"), "−0:10");
    page.evaluate("document.getElementById('live').click()");
    wait_until(&mut page, "Player.back() === 0 && Player.behind() !== null && Player.behind() < 5");
    page.evaluate("(() => { const latency = document.getElementById('latency'); latency.value = '1'; latency.dispatchEvent(new Event('change')); })()");
    wait_until(&mut page, "document.getElementById('film').currentTime > 2");
    page.evaluate("(() => { const latency = document.getElementById('latency'); latency.value = '5'; latency.dispatchEvent(new Event('change')); })()");
    wait_until(&mut page, "!document.getElementById('film').paused && Player.behind() > 4");
    wait_until(&mut page, "document.querySelectorAll('#films li').length === 1");
    page.evaluate("document.querySelector('#films button').click()");
    wait_until(&mut page, "Player.isSaved() && document.getElementById('film').currentTime > 1");
    looks(&mut page, "channel");
    page.evaluate("document.querySelector('#films button').click()");
    wait_until(&mut page, "!Player.isSaved() && document.getElementById('film').currentTime > 1");

    let mut embedded = Page::open(&format!("http://{}/steady?embed", station.http));
    wait_until(&mut embedded, "document.getElementById('film').currentTime > 1");
    assert_eq!(
        embedded.evaluate("getComputedStyle(document.querySelector('header')).display"),
        "none"
    );
    // As large as the documentation has it.
    embedded.look(Look { width: 640, height: 406, is_dark: false });
    let fits = "document.documentElement.scrollHeight <= innerHeight && document.getElementById('controls').getBoundingClientRect().bottom <= innerHeight";
    wait_until(&mut embedded, fits);
    embedded.keep_screenshot("embedded");

    assert_eq!(station.order("POST", "/api/channels/steady/stop", "").status, 204);
    station.wait_for("steady", "stopped", |view| view["phase"] == "stopped");
    let kept = get(&station.http, "/steady/saved").json();
    let name = kept[0]["name"].as_str().expect("what was kept of it is to be had");
    assert!(get(&station.http, &format!("/steady/saved/{name}.flv")).text().starts_with("FLV"));
    assert_eq!(get(&station.http, "/steady.json").json()["state"], "ended");
    station.reload(&THREE.replace("[channel.steady]", "[channel.other]"));
    let gone =
        wait_for(SOON, || Some(()).filter(|()| get(&station.http, "/steady.json").status == 404));
    assert!(gone.is_some());
}
