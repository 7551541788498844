//! Anything else: an `ffmpeg` found on this machine makes FLV of it, without coding anew what FLV
//! can carry.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, channel},
    },
    time::Duration,
};

use mio::unix::pipe::Receiver;

use super::{
    Cancel, Nature, Opened, Piece, Source, SourceError,
    bytes::{FlvReader, STEADY, Silence},
    http::SILENCE,
    shown_name, without_secrets,
};
use crate::crew::Readable;

/// What every player of FLV knows, and therefore stays as it is.
const VIDEO_COPIED: [&str; 4] = ["h264", "flv1", "vp6f", "vp6a"];
const AUDIO_COPIED: [&str; 2] = ["aac", "mp3"];
/// Two seconds between key frames at most, whatever the rate of pictures.
const ENCODE_VIDEO: [&str; 10] = [
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-pix_fmt",
    "yuv420p",
    "-bf",
    "0",
    "-force_key_frames",
    "expr:gte(t,n_forced*2)",
];
const ENCODE_AUDIO: [&str; 6] = ["-c:a", "aac", "-b:a", "128k", "-ar", "44100"];
/// A look at what a source is takes no longer.
const PROBE: Duration = Duration::from_secs(60);
/// Whether it has ended is looked at this often.
const LOOK: Duration = Duration::from_millis(20);
/// Its last words are kept.
const MAX_WORDS: usize = 4096;

/// What ffprobe says of a source.
#[derive(Debug, Default, PartialEq)]
struct Probed {
    video: Option<String>,
    audio: Option<String>,
    has_duration: bool,
}

impl Probed {
    /// Perhaps pictures, perhaps sound, of whatever kind.
    fn unknown(has_duration: bool) -> Self {
        Self { video: Some(String::new()), audio: Some(String::new()), has_duration }
    }
}

/// Whether a URL has ffmpeg wait for somebody to connect.
fn listens(name: &str) -> bool {
    name.contains("://") && ["listen=", "mode=listener"].iter().any(|word| name.contains(word))
}

/// A file or URL. One without a duration is live.
pub fn open(name: &str, cancel: &Cancel) -> Result<Opened, SourceError> {
    // Who comes to us once must not be met by a look.
    let probed = if listens(name) { Probed::unknown(false) } else { probe(name, cancel)? };
    let nature = if probed.has_duration { Nature::Recorded } else { STEADY };
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-i"]).arg(input(name));
    let (child, opened) = start(name, &probed, command, nature, cancel)?;
    drop(child);
    Ok(opened)
}

/// A pipe of which `head` was read already. What it holds cannot be asked first: it is coded anew.
pub fn open_pipe(
    name: &str,
    head: Vec<u8>,
    mut rest: impl Read + Send + 'static,
    cancel: &Cancel,
) -> Result<Opened, SourceError> {
    let probed = Probed::unknown(true);
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-i", "pipe:0"]);
    let (input, opened) = start(name, &probed, command, Nature::Recorded, cancel)?;
    if let Some(mut input) = input {
        std::thread::spawn(move || {
            // It ends when either of the two does, and ffmpeg says why.
            let _ = input.write_all(&head).and_then(|()| std::io::copy(&mut rest, &mut input));
        });
    }
    Ok(opened)
}

/// A file's name that looks like an option or a protocol is none.
fn input(name: &str) -> String {
    if name.contains("://") { name.to_owned() } else { format!("file:{name}") }
}

fn missing(name: &str, program: &str, error: &std::io::Error) -> SourceError {
    let what = match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {program} here to read it"),
        _ => format!("{program} does not run: {error}"),
    };
    SourceError::Final(format!(
        "{name}: this is not an FLV file, and {what}; install it (Debian: apt install ffmpeg), or \
         convert the film first: ffmpeg -i INPUT -c:v libx264 -g 50 -c:a aac out.flv"
    ))
}

fn unreadable(name: &str, words: &str) -> SourceError {
    let words = words.lines().last().unwrap_or("no reason given");
    // What comes over a network may come later.
    let words = without_secrets(&words.replace(name, &shown_name(name)));
    let shown = shown_name(name);
    if name.contains("://") {
        return SourceError::Passing(format!("ffmpeg cannot open {shown}: {words}"));
    }
    SourceError::Final(format!(
        "{name}: this is not an FLV file, and ffmpeg cannot read it: {words}"
    ))
}

fn probe(name: &str, cancel: &Cancel) -> Result<Probed, SourceError> {
    let failed = |error: std::io::Error| missing(name, "ffprobe", &error);
    let mut child = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv", "-show_entries"])
        .args(["stream=codec_type,codec_name:format=duration", "-i"])
        .arg(input(name))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let child = end_with(child, cancel);
    let (done, is_done) = channel::<()>();
    let doomed = child.clone();
    std::thread::spawn(move || {
        if is_done.recv_timeout(PROBE) == Err(RecvTimeoutError::Timeout) {
            end(&doomed);
        }
    });
    // Whoever is not listened to stands still.
    let words = std::thread::spawn(move || read_words(stderr));
    let text = read_words(stdout);
    let words = words.join().unwrap_or_default();
    drop(done);
    end(&child);
    let probed = parse(&text);
    if probed.video.is_none() && probed.audio.is_none() {
        let words = if words.is_empty() { "it has neither pictures nor sound" } else { &words };
        return Err(unreadable(name, words));
    }
    Ok(probed)
}

/// All that a program says; of much, the last.
fn read_words(from: Option<impl Read>) -> String {
    let mut said = String::new();
    if let Some(mut from) = from {
        let mut chunk = [0; 4096];
        // What cannot be read was not said.
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            remember(&mut said, &chunk[..count]);
        }
    }
    said
}

/// Of what is said, the last is kept.
fn remember(said: &mut String, bytes: &[u8]) {
    said.push_str(&String::from_utf8_lossy(bytes));
    if said.len() > MAX_WORDS {
        let keep = said.ceil_char_boundary(said.len() - MAX_WORDS / 2);
        said.drain(..keep);
    }
}

/// Ends it when nobody wants it any more.
fn end_with(child: Child, cancel: &Cancel) -> Arc<Mutex<Child>> {
    let child = Arc::new(Mutex::new(child));
    let doomed = child.clone();
    cancel.on_set(move || end(&doomed));
    child
}

/// Lines as `stream,h264,video` and `format,10.0`.
fn parse(text: &str) -> Probed {
    let mut probed = Probed::default();
    for line in text.lines() {
        match line.split(',').collect::<Vec<_>>()[..] {
            ["stream", codec, "video"] => drop(probed.video.get_or_insert(codec.to_owned())),
            ["stream", codec, "audio"] => drop(probed.audio.get_or_insert(codec.to_owned())),
            ["format", duration] => probed.has_duration = duration.parse::<f64>().is_ok(),
            _ => {}
        }
    }
    probed
}

/// Runs it; its standard input, and what comes out of it.
fn start(
    name: &str,
    probed: &Probed,
    mut command: Command,
    nature: Nature,
    cancel: &Cancel,
) -> Result<(Option<ChildStdin>, Opened), SourceError> {
    let (arguments, notice) = coding(name, probed);
    let mut child = command
        .args(arguments)
        .args(["-map_metadata", "-1", "-flvflags", "no_duration_filesize", "-f", "flv", "pipe:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| missing(name, "ffmpeg", &error))?;
    let (input, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
        return Err(unreadable(name, "it has no output"));
    };
    let (stdout, stderr) = (Receiver::from(stdout), Receiver::from(stderr));
    let prepared = stdout.set_nonblocking(true).and_then(|()| stderr.set_nonblocking(true));
    prepared.map_err(|error| unreadable(name, &error.to_string()))?;
    let child = end_with(child, cancel);
    let readable = Readable::of(&stdout);
    // Who waits for somebody to connect may do so for ever; what has begun does not just stop.
    let silence = matches!(nature, Nature::Live { .. }).then_some(Silence::OnceBegun(SILENCE));
    let flv = FlvReader::new(shown_name(name), &[], stdout, nature).waiting_for(readable, silence);
    let (name, notice, words) = (name.to_owned(), Some(notice), Words::new(stderr));
    let source = Converted { name, flv, child, words, notice, first: None, has_given: false };
    Ok((input, Opened::new(source, nature)))
}

/// What to do with pictures and sound, and how to say it.
fn coding(name: &str, probed: &Probed) -> (Vec<&'static str>, String) {
    let mut arguments = Vec::new();
    let mut said = Vec::new();
    let mut choose = |codec: &Option<String>,
                      copied: &[&str],
                      copy,
                      encode: &[&'static str],
                      kind| {
        match codec {
            None => {}
            Some(codec) if copied.contains(&codec.as_str()) => {
                arguments.extend(["-map", if kind == "pictures" { "0:v:0" } else { "0:a:0" }]);
                arguments.extend([copy, "copy"]);
                said.push(format!("{kind} as they are"));
            }
            Some(_) => {
                arguments.extend(["-map", if kind == "pictures" { "0:v:0?" } else { "0:a:0?" }]);
                arguments.extend(encode);
                said.push(format!("{kind} coded anew"));
            }
        }
    };
    choose(&probed.video, &VIDEO_COPIED, "-c:v", &ENCODE_VIDEO, "pictures");
    choose(&probed.audio, &AUDIO_COPIED, "-c:a", &ENCODE_AUDIO, "sound");
    (
        arguments,
        format!("{} is no FLV; ffmpeg makes one of it: {}", shown_name(name), said.join(", ")),
    )
}

/// What a program says of its troubles: the last of it.
struct Words {
    from: Receiver,
    said: String,
}

impl Words {
    fn new(from: Receiver) -> Self {
        Self { from, said: String::new() }
    }

    /// Takes what it has said, which it could not go on without.
    fn hear(&mut self) {
        let mut chunk = [0; 512];
        while let Ok(count @ 1..) = self.from.read(&mut chunk) {
            remember(&mut self.said, &chunk[..count]);
        }
    }
}

fn end(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = child.kill();
    let _ = child.wait();
}

/// FLV that ffmpeg makes.
struct Converted {
    name: String,
    flv: FlvReader<Receiver>,
    child: Arc<Mutex<Child>>,
    words: Words,
    /// Told before the first tag: until then it is not sure that there will be one.
    notice: Option<String>,
    first: Option<Piece>,
    has_given: bool,
}

impl Source for Converted {
    fn blocks(&self) -> bool {
        false
    }

    fn next(&mut self) -> Result<Piece, SourceError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let next = self.flv.next();
        self.words.hear();
        if matches!(next, Ok(Piece::Tag(_)))
            && let Some(notice) = self.notice.take()
        {
            self.has_given = true;
            self.first = next.ok();
            return Ok(Piece::Notice(notice));
        }
        match next {
            Err(error) => {
                end(&self.child);
                self.words.hear();
                Err(match self.words.said.lines().last() {
                    Some(last) if self.has_given => {
                        let last = last.replace(&self.name, &shown_name(&self.name));
                        let last = without_secrets(&last);
                        let name = shown_name(&self.name);
                        SourceError::Passing(format!("{name}: ffmpeg says: {last}"))
                    }
                    Some(last) => unreadable(&self.name, last),
                    None => error,
                })
            }
            Ok(Piece::End) => self.end(),
            other => other,
        }
    }
}

impl Converted {
    /// All was read; whether it was all there is, ffmpeg tells by how it ended.
    fn end(&mut self) -> Result<Piece, SourceError> {
        let status = {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            child.try_wait()
        };
        match status {
            Ok(None) => Ok(Piece::Rest(LOOK)),
            Ok(Some(status)) if !status.success() => {
                self.words.hear();
                let name = shown_name(&self.name);
                let last = self.words.said.lines().last().unwrap_or_default();
                let last = without_secrets(&last.replace(&self.name, &name));
                Err(SourceError::Final(format!("{name}: ffmpeg broke off, {status}: {last}")))
            }
            _ => Ok(Piece::End),
        }
    }
}

impl Drop for Converted {
    fn drop(&mut self) {
        end(&self.child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flv_can_carry_stays_as_it_is() {
        let probed = parse("stream,h264,video\nstream,vorbis,audio\nformat,10.01\n");
        let expected =
            Probed { video: Some("h264".into()), audio: Some("vorbis".into()), has_duration: true };
        assert_eq!(probed, expected);
        let (arguments, said) = coding("x.mkv", &probed);
        assert_eq!(arguments[..4], ["-map", "0:v:0", "-c:v", "copy"]);
        assert!(said.ends_with("pictures as they are, sound coded anew"), "{said}");
        assert!(!parse("format,N/A").has_duration);
    }

    #[test]
    fn file_names_are_no_options() {
        assert_eq!(input("-y.mkv"), "file:-y.mkv");
        assert_eq!(input("srt://host:1"), "srt://host:1");
    }
}
