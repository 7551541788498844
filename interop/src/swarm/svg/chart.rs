//! Lines over the seconds of a run.

use std::fmt::Write as _;

use super::{Picture, open};

const WIDTH: f64 = 780.0;
const HEIGHT: f64 = 290.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 250.0;
/// Between two names of lines.
const NAME: f64 = 130.0;
/// Parts of the height, and seconds between two marks, of which there are not many.
const RULES: u32 = 4;
const STEPS: [usize; 10] = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
const MARKS: usize = 10;

/// A line: for each second its value, if there is one.
#[derive(Debug)]
pub(in crate::swarm) struct Line {
    pub name: &'static str,
    pub color: &'static str,
    pub values: Vec<Option<f64>>,
}

/// A picture of lines.
#[derive(Debug)]
pub(in crate::swarm) struct Chart<'a> {
    pub name: &'static str,
    pub title: &'a str,
    pub unit: &'a str,
    /// The value at the top; what is above is drawn there.
    pub most: f64,
    pub lines: &'a [Line],
}

impl Chart<'_> {
    pub fn draw(&self) -> Picture {
        let mut svg = open(WIDTH, HEIGHT);
        let title = self.title;
        let _ = writeln!(svg, "<text class='title' x='{LEFT}' y='20'>{title}</text>");
        self.draw_rules(&mut svg);
        self.draw_seconds(&mut svg);
        for (row, line) in self.lines.iter().enumerate() {
            let (x, color, name) = (LEFT + NAME * row as f64, line.color, line.name);
            let _ = writeln!(svg, "<text x='{x}' y='40' style='fill:{color}'>{name}</text>");
            self.draw_line(&mut svg, line);
        }
        Picture { name: self.name, svg: svg + "</svg>\n" }
    }

    fn draw_rules(&self, svg: &mut String) {
        for part in 0..=RULES {
            let value = self.most * f64::from(part) / f64::from(RULES);
            let (y, unit) = (self.y(value), self.unit);
            let _ = writeln!(
                svg,
                "<line class='axis' x1='{LEFT}' y1='{y:.1}' x2='{RIGHT}' y2='{y:.1}'/>\
                 <text class='end' x='{}' y='{:.1}'>{value:.0} {unit}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
    }

    fn draw_seconds(&self, svg: &mut String) {
        let step = STEPS.into_iter().find(|step| self.seconds() / step <= MARKS).unwrap_or(3600);
        for second in (0..self.seconds()).step_by(step) {
            let (x, y) = (self.x(second), BOTTOM + 20.0);
            let _ = writeln!(svg, "<text class='middle' x='{x:.1}' y='{y}'>{second} s</text>");
        }
    }

    /// Seconds without a value leave a gap.
    fn draw_line(&self, svg: &mut String, line: &Line) {
        let values = line.values.iter().enumerate().collect::<Vec<_>>();
        for stretch in values.split(|(_, value)| value.is_none()).filter(|part| !part.is_empty()) {
            let point = |(second, value): &(usize, &Option<f64>)| {
                let y = self.y(value.unwrap_or_default());
                format!("{:.1},{y:.1}", self.x(*second))
            };
            let points = stretch.iter().map(point).collect::<Vec<_>>().join(" ");
            let color = line.color;
            let _ = writeln!(svg, "<polyline class='line' stroke='{color}' points='{points}'/>");
        }
    }

    fn seconds(&self) -> usize {
        self.lines.iter().map(|line| line.values.len()).max().unwrap_or(0).max(2)
    }

    fn x(&self, second: usize) -> f64 {
        LEFT + (RIGHT - LEFT) * second as f64 / (self.seconds() - 1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (value / self.most).clamp(0.0, 1.0)
    }
}
