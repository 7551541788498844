//! Who feeds whom, on the ring.

use std::fmt::Write as _;

use super::{Picture, open};

/// One member on the ring.
#[derive(Debug, Clone)]
pub(in crate::swarm) struct Spot {
    /// Part of the ring, 0 to 1.
    pub at: f64,
    pub is_caster: bool,
    /// Who pushes how many of the eight residues to it: spots by index.
    pub fed_by: Vec<(usize, u32)>,
    /// Neighbours without a push.
    pub knows: Vec<usize>,
}

/// The ring: thin grey lines are sessions, orange ones pushes, the wider the more.
pub(in crate::swarm) fn topology(spots: &[Spot]) -> Picture {
    const SIZE: f64 = 720.0;
    const RADIUS: f64 = 330.0;
    /// For the title.
    const HEAD: f64 = 60.0;
    let place = |index: usize| {
        let angle = spots[index].at * std::f64::consts::TAU;
        // The source is in the middle: the rest is around it.
        let radius = if spots[index].is_caster { 0.0 } else { RADIUS };
        (SIZE / 2.0 + radius * angle.sin(), HEAD + SIZE / 2.0 - radius * angle.cos())
    };
    let mut svg = open(SIZE, SIZE + HEAD);
    svg += "<text class='title' x='12' y='22'>Who pushes to whom, at the end</text>\
            <text x='12' y='42'>red: the caster; blue: members, on the ring</text>\
            <text x='12' y='58'>orange: pushes, the wider the more; grey: other sessions</text>\n";
    let mut line = |from: usize, to: usize, style: &str| {
        let ((x1, y1), (x2, y2)) = (place(from), place(to));
        let _ =
            writeln!(svg, "<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' {style}/>");
    };
    for (index, spot) in spots.iter().enumerate() {
        for other in spot.knows.iter().filter(|other| **other > index) {
            line(index, *other, "stroke='#bbb' stroke-width='0.4'");
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
