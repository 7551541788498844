//! A server, a channel, three who watch it from the start, and programs that give a stream.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use flvcast::flv::{Tag, TagKind};

use crate::{Process, Server, browser::wait_for, film};

const SOON: Duration = Duration::from_secs(30);

/// A port of loopback that was free just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("it has an address").port()
}

/// Everything around a caster.
pub struct Stage {
    /// For what the test makes.
    pub folder: tempfile::TempDir,
    /// The rendezvous server.
    pub server: Server,
    watchers: Vec<(Process, PathBuf)>,
}

impl Default for Stage {
    fn default() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start();
        let watchers = (0..3)
            .map(|index| {
                let out = folder.path().join(format!("watched{index}.flv"));
                let text = out.to_str().expect("the path is text");
                let watch = ["watch", "--server", &server.url, "--channel", "cctv", "--once"];
                (Process::start("flvcast", &[&watch[..], &["--out", text]].concat()), out)
            })
            .collect();
        Self { folder, server, watchers }
    }
}

impl Stage {
    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A film in its folder.
    pub fn film(&self, name: &str, film: &[Tag]) -> PathBuf {
        let path = self.path(name);
        film::write(&path, film);
        path
    }

    /// Starts to cast.
    pub fn cast(&self, arguments: &[&str]) -> Process {
        let place = ["--server", &self.server.url, "--channel", "cctv"];
        Process::start("flvcast", &[&["cast"], arguments, &place].concat())
    }

    /// Casts to the end.
    pub fn cast_whole(&self, arguments: &[&str]) -> String {
        let mut caster = self.cast(arguments);
        assert_eq!(caster.wait(Duration::from_secs(90)), 0, "{}", caster.stderr());
        caster.stderr()
    }

    /// Ends a caster that would go on, once it has said `words` or so much time is over.
    pub fn end(&self, caster: &mut Process) {
        caster.interrupt();
        assert_eq!(caster.wait(SOON), 0, "{}", caster.stderr());
    }

    /// What each watcher wrote, once the broadcast is over.
    pub fn watched(&mut self) -> Vec<Vec<Tag>> {
        let read = |(process, out): &mut (Process, PathBuf)| {
            assert_eq!(process.wait(SOON), 0, "{}", process.stderr());
            film::tags(&std::fs::read(out).expect("it wrote something"))
        };
        self.watchers.iter_mut().map(read).collect()
    }

    /// Where they wrote it.
    pub fn outs(&self) -> Vec<PathBuf> {
        self.watchers.iter().map(|(_, out)| out.clone()).collect()
    }

    /// All three got every sound and picture of the film, each at its own time.
    pub fn check_whole(&mut self, film: &[Tag]) {
        let cast = timed(film);
        for (index, watched) in self.watched().iter().enumerate() {
            let watched = timed(watched);
            let same = cast.iter().zip(&watched).take_while(|(cast, got)| cast == got).count();
            let counts = (cast.len(), watched.len());
            assert!(
                same == cast.len() && counts.0 == counts.1,
                "watcher {index}: {counts:?} tags; after {same} they differ"
            );
        }
    }
}

/// Sounds and pictures, with their times since the first.
pub fn timed(film: &[Tag]) -> Vec<(TagKind, u32, bytes::Bytes)> {
    let media: Vec<&Tag> = film.iter().filter(|tag| tag.is_media()).collect();
    let first = media.iter().map(|tag| tag.timestamp).min().unwrap_or(0);
    media.iter().map(|tag| (tag.kind, tag.timestamp - first, tag.payload.clone())).collect()
}

/// Runs a program of this machine in the background.
pub fn run(program: &str, arguments: &[&str]) -> Process {
    Process::spawn(Command::new(program).args(arguments))
}

/// Lets ffmpeg do something to its end.
pub fn ffmpeg(arguments: &[&str]) {
    let mut process = run("ffmpeg", &[&["-v", "error", "-nostdin", "-y"], arguments].concat());
    assert_eq!(process.wait(Duration::from_secs(60)), 0, "{}", process.stderr());
}

/// Hashes of the frames of one kind, by ffmpeg; `kind` is v, decoded, or a, as they are.
pub fn frames(path: &Path, kind: &str) -> Vec<String> {
    let map = format!("0:{kind}:0");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        // How noise in AAC is decoded hangs on all that came before: sound is compared as it is.
        .args(["-map", &map, "-c:a", "copy", "-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let hashes = text.lines().filter(|line| !line.starts_with('#'));
    hashes.filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned())).collect()
}

/// An nginx with its RTMP module and plain HTTP, serving a folder.
pub struct Nginx {
    process: Process,
    /// `rtmp://127.0.0.1:PORT/live`
    pub rtmp: String,
    /// `http://127.0.0.1:PORT`
    pub http: String,
}

impl Nginx {
    /// Starts one.
    pub fn start(folder: &Path) -> Self {
        let (rtmp, http) = (free_port(), free_port());
        let root = folder.display();
        let user = if is_root() { "user root;" } else { "" };
        let config = format!(
            "{user} daemon off; pid {root}/nginx.pid; error_log stderr; \
             load_module /usr/lib/nginx/modules/ngx_rtmp_module.so; worker_processes 1; events {{}} \
             rtmp {{ access_log off; server {{ listen 127.0.0.1:{rtmp}; \
                 application live {{ live on; }} }} }} \
             http {{ access_log off; server {{ listen 127.0.0.1:{http}; root {root}; }} \
                 client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; \
                 fastcgi_temp_path {root}/t3; uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5; }}"
        );
        let path = folder.join("nginx.conf");
        std::fs::write(&path, config).expect("the folder can be written");
        let arguments = ["-p", folder.to_str().expect("text"), "-c", path.to_str().expect("text")];
        let process = run("nginx", &arguments);
        let listens = || std::net::TcpStream::connect(("127.0.0.1", http)).ok();
        assert!(wait_for(SOON, listens).is_some(), "nginx: {}", process.stderr());
        Self {
            process,
            rtmp: format!("rtmp://127.0.0.1:{rtmp}/live"),
            http: format!("http://127.0.0.1:{http}"),
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only if it is asked.
        self.process.interrupt();
        let _ = wait_for(Duration::from_secs(3), || self.process.has_ended().then_some(()));
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout.starts_with(b"0")
}
