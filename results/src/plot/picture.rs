//! Figures to PNG, for where SVG is not shown. It takes the cargo feature `png`.

#[cfg(feature = "png")]
mod raster;

use super::document::draw_light;
use crate::series::Figure;

/// Whether pictures can be drawn: the cargo feature `png` was on.
pub const PICTURES: bool = cfg!(feature = "png");

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The cargo feature `png` was off; see [`PICTURES`].
    #[error("built without png; build with --features png")]
    NotBuilt,
    /// The drawing library refused what this program wrote.
    #[error("figure {figure:?}: {reason}; this is a defect, please report it")]
    Refused {
        /// Name of the figure.
        figure: String,
        /// What the drawing library said.
        reason: String,
    },
}

/// Draws pictures with fonts of its own.
#[derive(Debug, Default)]
pub struct Picture {
    #[cfg(feature = "png")]
    raster: raster::Raster,
}

impl Picture {
    /// The figure as [`super::draw`] has it, light, 1200 pixels wide.
    ///
    /// # Errors
    ///
    /// [`PlotError`]: always where [`PICTURES`] is false.
    pub fn png(&self, figure: &Figure, caption: &str) -> Result<Vec<u8>, PlotError> {
        self.draw(figure.name, &draw_light(figure, caption))
    }

    #[cfg(feature = "png")]
    fn draw(&self, figure: &str, svg: &str) -> Result<Vec<u8>, PlotError> {
        self.raster.png(svg).map_err(|reason| PlotError::Refused { figure: figure.to_owned(), reason })
    }

    #[cfg(not(feature = "png"))]
    fn draw(&self, _figure: &str, _svg: &str) -> Result<Vec<u8>, PlotError> {
        Err(PlotError::NotBuilt)
    }
}
