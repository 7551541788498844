//! Pictures of a run: who feeds whom on the ring, and delay and continuity over time.

use std::{fmt::Write as _, path::Path};

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
                     .axis{stroke:#bbb}</style>";

/// One member on the ring.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    /// Part of the ring, 0 to 1.
    pub at: f64,
    pub is_caster: bool,
    /// Who pushes how many of the eight residues to it: spots by index.
    pub fed_by: Vec<(usize, u32)>,
    /// Neighbours without a push.
    pub knows: Vec<usize>,
}

/// The ring: thin grey lines are sessions, orange ones pushes, the wider the more.
pub(super) fn topology(spots: &[Spot]) -> Picture {
    const SIZE: f64 = 720.0;
    const RADIUS: f64 = 330.0;
    let place = |index: usize| {
        let angle = spots[index].at * std::f64::consts::TAU;
        // The source is in the middle: the rest is around it.
        let radius = if spots[index].is_caster { 0.0 } else { RADIUS };
        (SIZE / 2.0 + radius * angle.sin(), SIZE / 2.0 - radius * angle.cos())
    };
    let mut svg = open(SIZE, SIZE);
    let mut line = |from: usize, to: usize, style: &str| {
        let ((x1, y1), (x2, y2)) = (place(from), place(to));
        let _ =
            writeln!(svg, "<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' {style}/>");
    };
    for (index, spot) in spots.iter().enumerate() {
        for other in spot.knows.iter().filter(|other| **other > index) {
            line(index, *other, "stroke='#ccc' stroke-width='0.3'");
        }
    }
    for (index, spot) in spots.iter().enumerate() {
        for (from, residues) in &spot.fed_by {
            let width = 0.3 + f64::from(*residues) * 0.2;
            line(
                *from,
                index,
                &format!("stroke='#e66100' stroke-opacity='0.5' stroke-width='{width:.1}'"),
            );
        }
    }
    for (index, spot) in spots.iter().enumerate() {
        let (x, y) = place(index);
        let (radius, color) = if spot.is_caster { (7, "#c01c28") } else { (3, "#1a5fb4") };
        let _ = writeln!(svg, "<circle cx='{x:.1}' cy='{y:.1}' r='{radius}' fill='{color}'/>");
    }
    Picture { name: "topology", svg: svg + "</svg>\n" }
}

/// Lines over the seconds of a run.
pub(super) fn chart(
    name: &'static str,
    unit: &str,
    most: f64,
    lines: &[(&str, &str, Vec<f64>)],
) -> Picture {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 260.0;
    const LEFT: f64 = 60.0;
    const BOTTOM: f64 = 230.0;
    const TOP: f64 = 20.0;
    let count = lines.iter().map(|(.., values)| values.len()).max().unwrap_or(1).max(2);
    let x = |index: usize| LEFT + (WIDTH - LEFT - 10.0) * index as f64 / (count - 1) as f64;
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * (value / most).clamp(0.0, 1.0);
    let mut svg = open(WIDTH, HEIGHT);
    for part in 0..=4 {
        let value = most * f64::from(part) / 4.0;
        let at = y(value);
        let _ = writeln!(
            svg,
            "<line class='axis' x1='{LEFT}' y1='{at:.1}' x2='{WIDTH}' y2='{at:.1}'/>\
             <text x='4' y='{:.1}'>{value:.0} {unit}</text>",
            at + 4.0
        );
    }
    for index in (0..count).step_by((count / 6).max(1)) {
        let _ = writeln!(svg, "<text x='{:.1}' y='250'>{index} s</text>", x(index));
    }
    for (row, (label, color, values)) in lines.iter().enumerate() {
        let points: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(index, value)| format!("{:.1},{:.1}", x(index), y(*value)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline class='line' stroke='{color}' points='{}'/>\
             <text x='{}' y='14' style='fill:{color}'>{label}</text>",
            points.join(" "),
            LEFT + 120.0 * row as f64
        );
    }
    Picture { name, svg: svg + "</svg>\n" }
}

fn open(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' \
         height='{height}'><rect width='100%' height='100%' fill='#fff'/>{STYLE}\n"
    )
}
