//! Each source is a real one, and what three watchers get of it is what went in.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use flvcast::flv::{Tag, TagKind, Tracks, file_header, put_tag};
use tests::{
    Process,
    browser::wait_for,
    film,
    stage::{Nginx, Stage, ffmpeg, frames, free_port, run, timed},
};

const SOON: Duration = Duration::from_secs(20);

fn film() -> Vec<Tag> {
    film::long_film(1)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

fn wait_until_said(process: &Process, words: &str) {
    let said = wait_for(SOON, || Some(()).filter(|()| process.stderr().contains(words)));
    assert!(said.is_some(), "it does not say '{words}' but: {}", process.stderr());
}

/// Publishes a film in real time, as OBS would.
fn publish(film: &Path, url: &str) -> Process {
    run(
        "ffmpeg",
        &["-v", "error", "-nostdin", "-re", "-i", text(film), "-c", "copy", "-f", "flv", url],
    )
}

#[test]
fn films_in_a_row() {
    let mut stage = Stage::default();
    let film = film();
    let (first, second) = (stage.film("1.flv", &film), stage.film("2.flv", &film));
    stage.cast_whole(&[text(&first), text(&second)]);
    let gap = 40;
    let length = timed(&film).iter().map(|(_, time, _)| *time).max().unwrap() + gap;
    let mut both = film.clone();
    both.extend(film.iter().map(|tag| Tag { timestamp: tag.timestamp + length, ..tag.clone() }));
    stage.check_whole(&both);
}

#[test]
fn a_pipe() {
    let mut stage = Stage::default();
    let film = film();
    let path = stage.film("film.flv", &film);
    let place = ["cast", "-", "--server", &stage.server.url, "--channel", "cctv"];
    let mut caster = Command::new(tests::bin("flvcast"))
        .args(place)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    caster.stdin.take().unwrap().write_all(&std::fs::read(path).unwrap()).unwrap();
    assert!(caster.wait().unwrap().success());
    stage.check_whole(&film);
}

#[test]
fn an_encoder_publishes_by_rtmp() {
    let mut stage = Stage::default();
    let film = film();
    let path = stage.film("film.flv", &film);
    let url = format!("127.0.0.1:{}/live/key", free_port());
    let mut caster = stage.cast(&[&format!("rtmp-listen://{url}")]);
    wait_until_said(&caster, "waiting for a publisher");
    let mut encoder = publish(&path, &format!("rtmp://{url}"));
    wait_until_said(&caster, "publishes");
    let mut wrong = publish(&path, &format!("rtmp://{url}-wrong"));
    assert_eq!(wrong.wait(SOON), 1);
    assert!(wrong.stderr().contains("stream key is wrong"), "{}", wrong.stderr());
    let mut second = publish(&path, &format!("rtmp://{url}"));
    assert_eq!(second.wait(SOON), 1);
    assert!(second.stderr().contains("somebody else publishes"), "{}", second.stderr());
    assert_eq!(encoder.wait(Duration::from_secs(40)), 0, "{}", encoder.stderr());
    wait_until_said(&caster, "publishes no more");
    stage.end(&mut caster);
    stage.check_whole(&film);
}

#[test]
fn an_rtmp_server_is_pulled_from() {
    let mut stage = Stage::default();
    let film = film();
    let path = stage.film("film.flv", &film);
    let nginx = Nginx::start(stage.folder.path());
    let url = format!("{}/cctv", nginx.rtmp);
    let mut caster = stage.cast(&[&url]);
    wait_until_said(&caster, "casting");
    let mut encoder = publish(&path, &url);
    assert_eq!(encoder.wait(Duration::from_secs(40)), 0, "{}", encoder.stderr());
    std::thread::sleep(Duration::from_secs(2));
    stage.end(&mut caster);
    for watched in stage.watched() {
        let (_, count) = film::check_watched("a watcher", &film, &watched);
        assert!(count * 10 >= timed(&film).len() * 9, "{count} tags");
    }
}

#[test]
fn a_film_over_plain_http() {
    let mut stage = Stage::default();
    let film = film();
    stage.film("film.flv", &film);
    let nginx = Nginx::start(stage.folder.path());
    stage.cast_whole(&[&format!("{}/film.flv", nginx.http)]);
    stage.check_whole(&film);
}

/// Another channel's watcher serves the endless stream. It dies and returns; the channel goes on.
#[test]
fn an_endless_stream_over_http() {
    let mut stage = Stage::default();
    let film = film();
    let path = stage.film("film.flv", &film);
    let http = format!("127.0.0.1:{}", free_port());
    let serve = ["watch", "--server", &stage.server.url, "--channel", "other", "--http", &http];
    let serving = Process::start("flvcast", &serve);
    let cast = ["cast", text(&path), "--loop", "--server", &stage.server.url, "--channel", "other"];
    let _source = Process::start("flvcast", &cast);
    let mut caster = stage.cast(&[&format!("http://{http}/other.flv")]);
    let casts = wait_for(SOON, || caster.stderr().contains("casting").then_some(()));
    assert!(casts.is_some());
    std::thread::sleep(Duration::from_secs(5));
    drop(serving);
    wait_until_said(&caster, "trying again");
    let _serving = Process::start("flvcast", &serve);
    wait_until_said(&caster, "is back");
    std::thread::sleep(Duration::from_secs(5));
    stage.end(&mut caster);
    let media = timed(&film);
    for watched in stage.watched() {
        let got = timed(&watched);
        assert!(got.len() > 300, "{} tags", got.len());
        assert!(got.iter().all(|(kind, _, payload)| {
            media.iter().any(|(own, _, cast)| own == kind && cast == payload)
        }));
        let steps = got.windows(2).map(|pair| i64::from(pair[1].1) - i64::from(pair[0].1));
        assert!(
            steps.clone().all(|step| (-500..2000).contains(&step)),
            "one timeline: {:?}",
            steps.max()
        );
    }
}

/// An encoder writes in pieces of odd sizes, in real time; the caster comes in the midst of it.
#[test]
fn a_file_that_is_being_written() {
    let mut stage = Stage::default();
    let film = film();
    let path = stage.path("growing.flv");
    let (to_write, target) = (film.clone(), path.clone());
    let writer = std::thread::spawn(move || {
        let mut bytes = file_header(Tracks::BOTH).to_vec();
        let (mut file, start) = (std::fs::File::create(target).unwrap(), Instant::now());
        let mut tags = to_write.into_iter().peekable();
        while tags.peek().is_some() || !bytes.is_empty() {
            while let Some(tag) =
                tags.next_if(|tag| u128::from(tag.timestamp) <= start.elapsed().as_millis())
            {
                put_tag(&mut bytes, &tag);
            }
            let piece = bytes.len().min(777);
            file.write_all(&bytes[..piece]).unwrap();
            bytes.drain(..piece);
            std::thread::sleep(Duration::from_millis(3));
        }
    });
    std::thread::sleep(Duration::from_secs(3));
    let mut caster = stage.cast(&["--follow", text(&path)]);
    writer.join().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    stage.end(&mut caster);
    for watched in stage.watched() {
        let (start, count) = film::check_watched("a watcher", &film, &watched);
        assert_eq!(start + count, timed(&film).len(), "to its end");
        assert!(count * 10 > timed(&film).len() * 5, "{count} tags");
    }
}

/// What ffmpeg's muxer makes of the film, live: each frame is there, as decoders see it.
fn playlist_of(muxer: &[&str], is_live: bool) {
    let mut stage = Stage::default();
    let source = stage.path("film.flv");
    std::fs::write(&source, film::SAMPLE).unwrap();
    let nginx = Nginx::start(stage.folder.path());
    let playlist = stage.path("list.m3u8");
    let pace: &[&str] = if is_live { &["-re"] } else { &[] };
    let common = ["-i", text(&source), "-c", "copy", "-hls_time", "2", "-f", "hls"];
    let arguments = [pace, &common, muxer, &[text(&playlist)]].concat();
    let mut encoder = run("ffmpeg", &[&["-v", "error", "-nostdin", "-y"], &arguments[..]].concat());
    let begun = wait_for(SOON, || playlist.exists().then_some(()));
    assert!(begun.is_some(), "{}", encoder.stderr());
    if !is_live {
        assert_eq!(encoder.wait(SOON), 0);
    }
    stage.cast_whole(&[&format!("{}/list.m3u8", nginx.http)]);
    stage.watched();
    for out in stage.outs() {
        for kind in ["v", "a"] {
            let (cast, got) = (frames(&source, kind), frames(&out, kind));
            assert!(
                cast.ends_with(&got) && got.len() * 2 >= cast.len(),
                "{kind}: {} of {}",
                got.len(),
                cast.len()
            );
            assert!(is_live || got.len() == cast.len());
        }
    }
}

#[test]
fn a_finished_playlist_of_transport_streams() {
    playlist_of(&["-hls_list_size", "0"], false);
}

#[test]
fn a_live_playlist_of_transport_streams() {
    playlist_of(&["-hls_list_size", "4"], true);
}

#[test]
fn a_finished_playlist_of_fragmented_mp4() {
    playlist_of(&["-hls_list_size", "0", "-hls_segment_type", "fmp4"], false);
}

#[test]
fn a_live_playlist_of_fragmented_mp4() {
    playlist_of(&["-hls_list_size", "4", "-hls_segment_type", "fmp4"], true);
}

#[test]
fn a_playlist_of_flv_as_bittube_had_them() {
    let mut stage = Stage::default();
    let source = stage.path("film.flv");
    std::fs::write(&source, film::SAMPLE).unwrap();
    let nginx = Nginx::start(stage.folder.path());
    let (pattern, playlist) = (stage.path("clip%d.flv"), stage.path("list.m3u8"));
    ffmpeg(&[
        "-i",
        text(&source),
        "-c",
        "copy",
        "-f",
        "segment",
        "-segment_time",
        "2",
        "-segment_format",
        "flv",
        "-segment_list",
        text(&playlist),
        text(&pattern),
    ]);
    let names = std::fs::read_to_string(&playlist).unwrap();
    let absolute = names.replace("clip", &format!("{}/clip", nginx.http));
    std::fs::write(&playlist, absolute).unwrap();
    stage.cast_whole(&[&format!("{}/list.m3u8", nginx.http)]);
    let cast: Vec<_> = timed(&film::tags(film::SAMPLE)).into_iter().map(|tag| tag.2).collect();
    for watched in stage.watched() {
        let got: Vec<_> = timed(&watched).into_iter().map(|tag| tag.2).collect();
        let missing = cast.iter().filter(|payload| !got.contains(payload)).count();
        assert_eq!((missing, got.len()), (0, cast.len()));
    }
}

#[test]
fn what_is_no_flv_goes_through_ffmpeg() {
    let mut stage = Stage::default();
    let (source, other) = (stage.path("film.flv"), stage.path("film.mkv"));
    std::fs::write(&source, film::SAMPLE).unwrap();
    ffmpeg(&["-i", text(&source), "-c", "copy", text(&other)]);
    let said = stage.cast_whole(&[text(&other)]);
    assert!(
        said.contains("ffmpeg makes one of it: pictures as they are, sound as they are"),
        "{said}"
    );
    stage.watched();
    for out in stage.outs() {
        assert_eq!(frames(&out, "v"), frames(&source, "v"));
    }
}

/// The source dies; something else plays; it returns, with another codec.
#[test]
fn a_fallback_plays_meanwhile() {
    let mut stage = Stage::default();
    let film = film();
    let path = stage.film("film.flv", &film);
    let other = Tag {
        kind: TagKind::Video,
        timestamp: 0,
        payload: bytes::Bytes::from_static(b"\x12a picture to look at meanwhile"),
    };
    let slide: Vec<Tag> =
        (0..50).map(|index| Tag { timestamp: index * 40, ..other.clone() }).collect();
    let fallback = stage.film("slide.flv", &slide);
    let url = format!("127.0.0.1:{}/live/key", free_port());
    let listen = format!("rtmp-listen://{url}");
    let mut caster = stage.cast(&[&listen, "--fallback", text(&fallback)]);
    wait_until_said(&caster, "the fallback plays");
    std::thread::sleep(Duration::from_secs(3));
    let mut encoder = publish(&path, &format!("rtmp://{url}"));
    std::thread::sleep(Duration::from_secs(5));
    encoder.kill();
    let again = wait_for(SOON, || {
        (caster.stderr().matches("the fallback plays").count() == 2).then_some(())
    });
    assert!(again.is_some(), "{}", caster.stderr());
    std::thread::sleep(Duration::from_secs(2));
    stage.end(&mut caster);
    for watched in stage.watched() {
        let kinds: Vec<bool> = watched
            .iter()
            .filter(|tag| tag.is_media() && tag.kind == TagKind::Video)
            .map(|tag| tag.payload == other.payload)
            .collect();
        let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!((kinds[0], changes), (true, 2), "slide, film, slide");
        let shown = kinds.iter().filter(|is_slide| !**is_slide).count();
        assert!(shown > 60, "{shown} pictures of the film");
    }
}
