//! Pictures of a run: who feeds whom on the ring, and delay and continuity over time.

mod chart;
mod topology;

use std::path::Path;

pub(super) use chart::{Chart, Line};
pub(super) use topology::{Spot, topology};

/// A picture and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub name: &'static str,
    pub svg: String,
}

/// Writes pictures into a folder, which is made if need be.
pub(super) fn write(folder: &Path, pictures: &[Picture]) -> Result<(), String> {
    let fail = |error| format!("cannot write into {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(fail)?;
    for picture in pictures {
        let path = folder.join(picture.name).with_extension("svg");
        std::fs::write(path, &picture.svg).map_err(fail)?;
    }
    Ok(())
}

const STYLE: &str = "<style>text{font:12px sans-serif;fill:#555}.line{fill:none;stroke-width:1.5}\
                     .axis{stroke:#ddd}.end{text-anchor:end}.middle{text-anchor:middle}\
                     .title{font-size:14px;fill:#222}</style>";

fn open(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' \
         height='{height}'><rect width='100%' height='100%' fill='#fff'/>{STYLE}\n"
    )
}
