//! The ratios as a picture: how far each is from its bound, on a logarithmic scale.

use std::path::Path;

use plotters::prelude::*;

use crate::goal::{Bound, Goal, Line};

/// Pixels of a bar with its words.
const ROW: u32 = 26;

/// How much of its bound a line has used: 1 is the bound itself, less is better.
fn used(line: &Line) -> Option<f64> {
    match line.bound? {
        Bound::AtMost(most) => Some(line.ratio() / most),
        Bound::AtLeast(least) => Some(least / line.ratio()),
    }
}

/// Draws one bar a line.
pub fn ratios(file: &Path, goals: &[Goal]) -> anyhow::Result<()> {
    let lines: Vec<(String, f64)> = goals
        .iter()
        .flat_map(|goal| goal.lines.iter().map(move |line| (goal.id, line)))
        .filter_map(|(id, line)| Some((format!("{id}  {}", line.ours_is), used(line)?.max(0.001))))
        .collect();
    let rows = u32::try_from(lines.len())?;
    let (width, left) = (980_i32, 430_i32);
    let height = rows * ROW + 60;
    let drawing = SVGBackend::new(file, (u32::try_from(width)?, height)).into_drawing_area();
    let drawn =
        |error: DrawingAreaErrorKind<_>| anyhow::anyhow!("the plot cannot be drawn: {error:?}");
    drawing.fill(&WHITE).map_err(drawn)?;
    // Three decades below the bound, one above.
    let scale = f64::from(width - left - 30) / 4.0;
    let x = |value: f64| left + ((value.log10().clamp(-3.0, 1.0) + 3.0) * scale) as i32;
    let words = ("sans-serif", 13).into_font().color(&BLACK);
    for (row, (name, value)) in lines.iter().enumerate() {
        let top = 30 + i32::try_from(row)? * i32::try_from(ROW)?;
        let colour = if *value <= 1.0 {
            RGBColor(46, 125, 80)
        } else {
            RGBColor(192, 57, 43)
        };
        drawing
            .draw(&Text::new(name.as_str(), (8, top + 4), words.clone()))
            .map_err(drawn)?;
        let bar = Rectangle::new([(left, top), (x(*value), top + 16)], colour.filled());
        drawing.draw(&bar).map_err(drawn)?;
        let figure = format!("{value:.2}");
        drawing
            .draw(&Text::new(figure, (x(*value) + 4, top + 4), words.clone()))
            .map_err(drawn)?;
    }
    let foot = i32::try_from(height)? - 24;
    drawing
        .draw(&PathElement::new(vec![(x(1.0), 20), (x(1.0), foot)], BLACK))
        .map_err(drawn)?;
    let note = "part of the bound that is used (logarithmic; the line is the bound)";
    drawing
        .draw(&Text::new(note, (left, foot + 6), words))
        .map_err(drawn)?;
    drawing.present().map_err(drawn)?;
    Ok(())
}
