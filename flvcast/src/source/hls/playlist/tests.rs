use super::*;

fn base() -> Url {
    Url::parse("http://host/live/list.m3u8").unwrap()
}

fn read_media(text: &str) -> Media {
    match parse(text.as_bytes(), &base()) {
        Some(Playlist::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

fn read_master(text: &str) -> Master {
    match parse(text.as_bytes(), &base()) {
        Some(Playlist::Master(master)) => master,
        other => panic!("{other:?}"),
    }
}

#[test]
fn segments_as_people_write_them() {
    let text = "\u{feff}#EXTM3U\r\n#EXT-X-TARGETDURATION:10.0\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n\r\n\
        #EXTINF:10\r\na b.ts\r\n#EXTINF:9.5,title, with commas\r\n/top.ts?x=1\r\n\
        #EXT-X-DISCONTINUITY\r\n#EXT-X-GAP\r\n#EXTINF:-1,\r\nhttps://other/c.ts\r\nno-duration.flv\r\n";
    let media = read_media(text);
    let urls: Vec<&str> = media.segments.iter().map(|segment| segment.url.as_str()).collect();
    let expected = [
        "http://host/live/a%20b.ts",
        "http://host/top.ts?x=1",
        "https://other/c.ts",
        "http://host/live/no-duration.flv",
    ];
    assert_eq!(urls, expected);
    assert_eq!((media.target, media.sequence, media.is_over), (10.0, 7, false));
    assert_eq!(media.segments[1].duration, 9.5);
    assert!(media.segments[2].is_discontinuous && media.segments[2].is_gap);
    assert!(!media.segments[3].is_discontinuous);
}

#[test]
fn parts_maps_and_keys_hold_until_said_otherwise() {
    let text = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"100@0\"\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x0A\n#EXTINF:2,\n#EXT-X-BYTERANGE:50@100\nall.mp4\n\
        #EXTINF:2,\n#EXT-X-BYTERANGE:60\nall.mp4\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:2,\nc.mp4\n\
        #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXTINF:2,\nd.mp4\n#EXT-X-ENDLIST";
    let media = read_media(text);
    let parts: Vec<Part> = media.segments.iter().map(|segment| segment.part).collect();
    assert_eq!(parts, [Some((100, 50)), Some((150, 60)), None, None]);
    let map = Some((base().join("init.mp4").unwrap(), Some((0, 100))));
    assert!(media.segments.iter().all(|segment| segment.map.as_deref() == map.as_ref()));
    let key = Key::Aes { url: base().join("k").unwrap(), iv: Some(10) };
    assert_eq!(media.segments[1].key.as_deref(), Some(&key));
    assert_eq!(media.segments[2].key, None);
    assert_eq!(media.segments[3].key.as_deref(), Some(&Key::Unknown("SAMPLE-AES".into())));
    assert!(media.is_over);
    assert_eq!(media.target, 2.0);
}

#[test]
fn qualities_and_sound_apart() {
    let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",URI=\"other.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"y\",DEFAULT=YES,URI=\"sound.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,CODECS=\"avc1.4d,mp4a\"\nlow.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280X720,AUDIO=\"a\"\n\nhigh.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=bad\nodd.m3u8\n";
    let master = read_master(text);
    let chosen = |quality| master.choose(quality).unwrap().url.path().to_owned();
    assert_eq!(chosen(Quality::Best), "/live/high.m3u8");
    assert_eq!(chosen(Quality::Worst), "/live/odd.m3u8");
    assert_eq!(chosen(Quality::Lines(480)), "/live/low.m3u8");
    assert_eq!(chosen(Quality::Bitrate(1_000_000)), "/live/low.m3u8");
    let high = master.choose(Quality::Best).unwrap();
    assert_eq!(master.audio_of(high).unwrap().path(), "/live/sound.m3u8");
    assert!(master.audio_of(&master.variants[0]).is_none());
}

#[test]
fn what_is_no_playlist_is_none_and_nonsense_ends() {
    assert_eq!(parse(b"<html>", &base()), None);
    let nonsense = "#EXTM3U\n#EXT-X-KEY:=,=\"\n#EXT-X-MAP:\n#EXTINF:\n#EXT-X-BYTERANGE:x@y\n:\n=\n";
    assert!(read_media(nonsense).segments.len() <= 2);
    let many = format!("#EXTM3U\n{}", "a.ts\n".repeat(60_000));
    assert_eq!(read_media(&many).segments.len(), MAX_SEGMENTS);
}
