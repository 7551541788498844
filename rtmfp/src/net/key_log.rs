//! `RTMFP_KEYLOG`: session keys appended to a file, for decoding captures of one's own sessions.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
};

use crate::crypto::KeyLog;

/// Names the file.
const VARIABLE: &str = "RTMFP_KEYLOG";

#[derive(Debug)]
struct KeyLogFile(Mutex<File>);

impl KeyLog for KeyLogFile {
    fn log(&self, line: &str) {
        if let Ok(mut file) = self.0.lock()
            && let Err(error) = writeln!(file, "{line}")
        {
            log::warn!("cannot write to the key log: {error}");
        }
    }
}

/// The key log that the environment asks for. If it cannot be written to, a warning says so.
pub fn key_log_from_env() -> Option<Arc<dyn KeyLog>> {
    let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty())?;
    match open(Path::new(&path)) {
        Ok(file) => {
            log::warn!(
                "session keys are written to {}: whoever reads it can decode all traffic",
                Path::new(&path).display()
            );
            Some(Arc::new(KeyLogFile(Mutex::new(file))))
        }
        Err(error) => {
            log::warn!("no key log: cannot open {}: {error}", Path::new(&path).display());
            None
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
