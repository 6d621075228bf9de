// SPDX-License-Identifier: Apache-2.0

//! What a run of the benchmarks found, as a picture.

use std::fmt::Write;

use crate::report::Part;

/// Bars of entries a second on a logarithmic scale, as SVG.
pub(crate) fn picture(parts: &[Part]) -> String {
    const LEFT: f64 = 620.0;
    const WIDTH: f64 = 480.0;
    const ROW: f64 = 22.0;
    /// The scale goes from this rate over so many powers of ten.
    const LEAST: f64 = 100.0;
    const DECADES: f64 = 5.0;
    let rows: usize = parts.iter().map(|part| part.measured.len() + 2).sum();
    let height = rows as f64 * ROW + ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut y = ROW;
    for part in parts {
        let _ = writeln!(
            svg,
            "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{}: entries a second</text>",
            part.plan.title()
        );
        y += ROW;
        for (place, measured) in part.measured.iter().enumerate() {
            let rate = measured.rate();
            let length = ((rate / LEAST).log10().max(0.0) / DECADES * WIDTH).min(WIDTH);
            let colour = if place == 0 { "#0b6e4f" } else { "#9aa5b1" };
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"15\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{y}\">{rate:.0}</text>",
                LEFT - 8.0,
                measured.system,
                y - 12.0,
                LEFT + length + 6.0,
            );
            y += ROW;
        }
        y += ROW;
    }
    svg + "</svg>\n"
}
